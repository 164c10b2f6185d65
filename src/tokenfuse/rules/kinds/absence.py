"""Absence: calls that stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tokenfuse.contracts.ruleset import AbsenceRule, AnyRule
from tokenfuse.detect.absence import GONE_S, HOURS
from tokenfuse.rules.kinds.base import SevereSpec
from tokenfuse.rules.units import Duration, Usd


class AbsenceSpec(SevereSpec):
    """A scope that always has calls has had none for longer than its last two weeks ever showed."""

    kind: Literal["absence"]
    silence_min: Duration = Field(description="No shorter silence counts, e.g. 10m.", ge=60, lt=GONE_S)
    calls_min: int = Field(
        description="Calls that are usual in the time of the silence, at least.", ge=1, le=10**6
    )
    record_factor: float = Field(
        description="Times the most calls that a silence of the last 14 days cost the scope.", ge=1, le=100
    )
    baseline_hours_min: int = Field(
        description="Hours with calls that a scope needs before it is judged.", ge=24, le=HOURS // 2
    )
    floor_usd_per_day: Usd = Field(description="A scope that usually spends less is nobody's page.")

    @model_validator(mode="after")
    def _fits(self) -> AbsenceSpec:
        if self.response is not None or self.mode != "warn":
            raise ValueError("an absence only tells, there are no calls to stop: use mode warn, no response")
        short = [axis for axis in self.axes if axis in ("user", "run_id")]
        if short:
            raise ValueError(f"axis {short[0]}: no two weeks of hours are kept; use tenant, feature or model")
        return self

    def compiled(self, axis: str, root: Path) -> Iterator[AnyRule]:  # noqa: ARG002 - reads no table
        """One rule."""
        yield AbsenceRule(
            **self.common(axis), kind="absence", driver="volume", severity=self.severity,
            silence_min_seconds=self.silence_min, calls_min=self.calls_min, record_factor=float(self.record_factor),
            baseline_hours_min=self.baseline_hours_min, floor_nanousd_per_day=self.floor_usd_per_day,
        )  # fmt: skip
