"""Novelty: scopes that were never seen before and that spend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tokenfuse.contracts.axes import CELL_AXES
from tokenfuse.contracts.ruleset import AnyRule, NoveltyRule
from tokenfuse.rules.kinds.base import BASELINE_HOURS_MAX, SevereSpec
from tokenfuse.rules.units import Duration, Usd


class NoveltySpec(SevereSpec):
    """A model, a feature, a tenant or a template that was never seen before spends."""

    kind: Literal["novelty"]
    window: Duration = Field(
        description="A scope is new for so long after its first call, e.g. 24h.", ge=3600, le=14 * 86_400
    )
    floor_usd: Usd = Field(description="New scopes that have spent less are nobody's page.")
    baseline_hours_min: int = Field(
        description="Hours that everything must have been watched for before a scope's first call.",
        ge=1,
        le=BASELINE_HOURS_MAX,
    )

    @model_validator(mode="after")
    def _fits(self) -> NoveltySpec:
        other = [axis for axis in self.axes if axis not in CELL_AXES]
        if other:
            raise ValueError(
                f"axis {other[0]}: new values of it are no news; use one of {', '.join(CELL_AXES)}"
            )
        return self

    def compiled(self, axis: str, root: Path) -> Iterator[AnyRule]:  # noqa: ARG002 - reads no table
        """One rule."""
        yield NoveltyRule(
            **self.common(axis), kind="novelty", driver="volume", severity=self.severity, window_seconds=self.window,
            floor_nanousd=self.floor_usd, baseline_hours_min=self.baseline_hours_min,
        )  # fmt: skip
