"""Bursts: many more calls within seconds than usual."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tokenfuse.contracts.ruleset import AnyRule, BurstRule
from tokenfuse.rules.kinds.base import SevereSpec
from tokenfuse.rules.units import Duration, Usd


class BurstSpec(SevereSpec):
    """Many more calls within seconds than the scope's last hour makes likely, and than it had on any day before."""

    kind: Literal["burst"]
    windows: list[Duration] = Field(
        description="How far back the burst reaches, rising, 10s to 10m; any of them fires.",
        min_length=1,
        max_length=4,
    )
    factor: float = Field(description="Times the calls of the last hour, at least.", ge=1, le=1000)
    surprise_min: float = Field(
        description="Minus the natural logarithm of the chance of as many calls, at least: 14 is one in a million.",
        gt=0,
        le=1000,
    )
    times_record: float = Field(
        description="Times the most calls of such a window on a day of the last two weeks, at least.",
        ge=1,
        le=1000,
    )
    calls_min: int = Field(description="With fewer calls in a window there is no burst.", ge=2)
    floor_usd_per_hour: Usd = Field(description="An excess at a lower rate is nobody's page.")
    floor_usd: Usd = Field(default=0, description="Nor is a window whose excess is less.")

    @model_validator(mode="after")
    def _fits_the_windows(self) -> BurstSpec:
        if any(w < 10 or w > 600 or w % 10 for w in self.windows) or self.windows != sorted(
            set(self.windows)
        ):
            raise ValueError("windows: rising, each once, from 10s to 10m, whole multiples of 10s")
        if "user" in self.axes and any(w % 60 for w in self.windows):
            raise ValueError("axis user: keeps minutes, so windows are whole minutes")
        if "run_id" in self.axes:
            raise ValueError("axis run_id: a run has no past of its own; use an agent rule or a cap")
        return self

    def compiled(self, axis: str, root: Path) -> Iterator[AnyRule]:  # noqa: ARG002 - reads no table
        """One rule."""
        yield BurstRule(
            **self.common(axis), kind="burst", driver="volume", severity=self.severity,
            windows_seconds=tuple(self.windows), factor=float(self.factor), surprise_min=float(self.surprise_min),
            times_record=float(self.times_record), calls_min=self.calls_min,
            floor_nanousd_per_hour=self.floor_usd_per_hour, floor_nanousd=self.floor_usd,
        )  # fmt: skip
