"""Drift: calls that changed against what is normal for the same cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tokenfuse.contracts.axes import JOINT
from tokenfuse.contracts.ruleset import AnyRule, DriftRule, DriftSignal
from tokenfuse.rules.kinds.learned import LearnedSpec


class DriftSpec(LearnedSpec):
    """A per-call quantity moved away from what is normal for the same cells; of several windows the largest score counts."""

    kind: Literal["drift"]
    signal: DriftSignal = Field(description="prompt, output (tokens), cache, retry, tier (share of calls).")
    z_min: float = Field(description="Score in standard deviations.", gt=0, le=100)
    record_factor: float = Field(
        0.0,
        description="Times the largest score of the scope's last 14 ordinary days; 0: no record counts.",
        ge=0,
        le=10,
    )
    effect_min: float = Field(
        description="Relative change (prompt, output) or change of share (others).", gt=0, le=100
    )

    @model_validator(mode="after")
    def _tier_has_models(self) -> DriftSpec:
        if self.signal == "tier" and any("model" in axis.split(JOINT) for axis in self.axes):
            raise ValueError(
                "axis model: tier mix moves between models; use tenant, feature or prompt_template"
            )
        return self

    def compiled(self, axis: str, root: Path) -> Iterator[AnyRule]:  # noqa: ARG002 - reads no table
        """One rule per step of the ladder."""
        for fields in self.ladder(axis):
            yield DriftRule(
                **fields, kind="drift", driver=self.signal, signal=self.signal, z_min=float(self.z_min),
                record_factor=float(self.record_factor), effect_min=float(self.effect_min),
            )  # fmt: skip
