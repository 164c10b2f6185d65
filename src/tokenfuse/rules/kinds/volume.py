"""Volume: more calls than a scope has ever had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tokenfuse.contracts.rulekinds.volume import VolumeRule
from tokenfuse.contracts.ruleset import AnyRule
from tokenfuse.rules.kinds.base import SevereSpec
from tokenfuse.rules.kinds.drift import check_axes, check_learning
from tokenfuse.rules.units import Duration, Usd


class VolumeSpec(SevereSpec):
    """More calls than the scope's record, and than this time of the day usually brings."""

    judges_cells: ClassVar[bool] = True

    kind: Literal["volume"]
    windows: list[Duration] = Field(
        description="Windows in which calls are counted.", min_length=1, max_length=12
    )
    ratio_min: float = Field(
        description="Times the larger of what is usual at this hour and what the hours before brought.", gt=1
    )
    record_factor: float = Field(
        description="Times the most calls of such a window in the scope's last 14 ordinary days.",
        ge=1,
        le=100,
    )
    baseline: Duration = Field(description="How far back the baseline reaches, in whole hours.")
    baseline_hours_min: int = Field(
        description="Hours with traffic that a scope needs before it is judged.", ge=1
    )
    calls_min: int = Field(description="Calls in the window below which the rule is silent.", ge=1)
    floor_usd_per_day: Usd = Field(description="An excess below this is nobody's page.")
    evaluation_interval: Duration = Field(
        description="Every so often of event time, 60s to 1h; longer windows less often."
    )

    @model_validator(mode="after")
    def _fits(self) -> VolumeSpec:
        check_learning(self.baseline, self.baseline_hours_min, self.windows, self.evaluation_interval)
        check_axes(self.axes)
        return self

    def compiled(self, axis: str, root: Path) -> Iterator[AnyRule]:  # noqa: ARG002 - reads no table
        """One rule."""
        yield VolumeRule(
            **self.common(axis), kind="drift", driver="volume", severity=self.severity,
            windows_seconds=tuple(self.windows), ratio_min=float(self.ratio_min), record_factor=float(self.record_factor),
            baseline_hours=self.baseline // 3600, baseline_hours_min=self.baseline_hours_min, calls_min=self.calls_min,
            floor_nanousd_per_day=self.floor_usd_per_day, evaluation_interval_seconds=self.evaluation_interval,
        )  # fmt: skip
