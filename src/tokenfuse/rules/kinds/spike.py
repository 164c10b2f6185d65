"""Spikes: an hour or a day against the mean before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tokenfuse.contracts.ruleset import AnyRule, SpikeRule
from tokenfuse.rules.kinds.base import DAY_PANES_MAX, HOUR_PANES_MAX, USER_HOUR_PANES_MAX, SevereSpec
from tokenfuse.rules.units import Usd


class SpikeSpec(SevereSpec):
    """A pane's spend over a multiple of the mean of the panes before it."""

    kind: Literal["spike"]
    pane: Literal["1h", "1d"] = Field(description="1h or 1d.")
    factor: float = Field(description="Times the mean.", gt=1, le=1000)
    history_panes: int = Field(description="Panes the mean is over, e.g. 168 hours.", ge=1, le=HOUR_PANES_MAX)
    history_panes_min: int = Field(description="Panes since the scope was first seen that it needs.", ge=1)
    floor_usd: Usd = Field(description="An excess below this is nobody's page.")

    @model_validator(mode="after")
    def _fits_the_windows(self) -> SpikeSpec:
        hours_max = USER_HOUR_PANES_MAX if "user" in self.axes else HOUR_PANES_MAX
        most = hours_max if self.pane == "1h" else DAY_PANES_MAX
        if self.history_panes > most:
            raise ValueError(
                f"history_panes: at most {most} panes of {self.pane} are kept for {', '.join(self.axes)}"
            )
        if self.history_panes_min > self.history_panes:
            raise ValueError("history_panes_min: at most history_panes")
        if "run_id" in self.axes:
            raise ValueError("axis run_id: a run keeps totals only and has no panes; use a cap")
        return self

    def compiled(self, axis: str, root: Path) -> Iterator[AnyRule]:  # noqa: ARG002 - reads no table
        """One rule."""
        yield SpikeRule(
            **self.common(axis), kind="spike", driver="cost", severity=self.severity, pane=self.pane,
            factor=float(self.factor), history_panes=self.history_panes, history_panes_min=self.history_panes_min,
            floor_nanousd=self.floor_usd,
        )  # fmt: skip
