"""Limits and loops of agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, model_validator

from tokenfuse.contracts.alert import Driver
from tokenfuse.contracts.ruleset import AgentMeasure, AgentRule, AnyRule
from tokenfuse.rules.kinds.base import SevereSpec
from tokenfuse.rules.units import Duration, Usd

DRIVERS: Final[dict[AgentMeasure, Driver]] = {
    "steps": "loop", "depth": "loop", "tool_calls": "tools", "tokens": "context", "seconds": "loop",
    "retries": "retry", "children": "loop", "context": "context", "repetition": "loop", "runs": "volume",
}  # fmt: skip
OF_MANY_RUNS: Final = ("runs", "children", "tool_calls", "tokens", "retries")
UNRECORDED: Final = ("repetition", "runs")


class AgentSpec(SevereSpec):
    """An agent run does more than it may, or more than runs of its feature ever did."""

    kind: Literal["agent"]
    measure: AgentMeasure = Field(
        description="Of a run: steps, depth, tool_calls, tokens, seconds, retries, children, context (mean input tokens of"
        " the last ten minutes), repetition (how often the average tool call was made). Of all runs of another axis: runs,"
        " children, tool_calls, tokens, retries."
    )
    limit: int | None = Field(None, description="More than this fires.", ge=0)
    times_record: float | None = Field(
        None,
        description="More than so many times the largest value of the feature's runs in 14 days fires.",
        ge=1,
        le=1000,
    )
    record_days_min: int = Field(
        3,
        description="With fewer days of its own a feature borrows the largest record of the others.",
        ge=1,
        le=14,
    )
    at_least: int = Field(0, description="A value up to this never fires.", ge=0)
    floor_usd: Usd = Field(description="A run that cost less is nobody's page.")
    window: Duration = Field(0, description="For other axes than run_id: how far back runs are counted.")

    @model_validator(mode="after")
    def _fits_the_axis(self) -> AgentSpec:
        if self.limit is None and self.times_record is None:
            raise ValueError("no limit: give limit, times_record, or both")
        if self.times_record is not None and self.measure in UNRECORDED:
            raise ValueError(f"measure {self.measure} has no record: give limit")
        runs = self.axes == ["run_id"]
        if runs and (self.window or self.measure == "runs"):
            raise ValueError(
                "axis run_id: a run is judged from its beginning on, without window, and is one run"
            )
        if not runs and "run_id" in self.axes:
            raise ValueError("axis run_id: alone, other axes in a rule of their own")
        if not runs and (
            not self.window or self.times_record is not None or self.measure not in OF_MANY_RUNS
        ):
            raise ValueError(
                f"other axes than run_id: window, limit, and a measure of {', '.join(OF_MANY_RUNS)}"
            )
        return self

    def compiled(self, axis: str, root: Path) -> Iterator[AnyRule]:  # noqa: ARG002 - reads no table
        """One rule."""
        yield AgentRule(
            **self.common(axis), kind="agent", driver=DRIVERS[self.measure], severity=self.severity,
            measure=self.measure, limit=self.limit, times_record=self.times_record,
            record_days_min=self.record_days_min, at_least=self.at_least, floor_nanousd=self.floor_usd,
            window_seconds=self.window,
        )  # fmt: skip
