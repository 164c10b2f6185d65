"""What rules with a learned baseline share: how far back it reaches, and on which axes cells can be summed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field, model_validator

from tokenfuse.contracts.alert import Severity
from tokenfuse.contracts.axes import CELL_AXES, GLOBAL, JOINT
from tokenfuse.rules.kinds.base import BASELINE_HOURS_MAX, JOINT_AXES, SevereSpec
from tokenfuse.rules.units import Duration, Usd


class LearnedSpec(SevereSpec):
    """A rule that compares windows of cells with what is normal for them."""

    judges_cells: ClassVar[bool] = True

    windows: list[Duration] = Field(
        description="How far back the recent side reaches.", min_length=1, max_length=12
    )
    baseline: Duration = Field(description="How far back the baseline reaches, in whole hours.")
    baseline_hours_min: int = Field(
        description="Hours with traffic that a cell needs before it is judged.", ge=1
    )
    calls_min: int = Field(description="Calls in the window below which the rule is silent.", ge=1)
    floor_usd_per_day: Usd = Field(description="An excess below this is not told.")
    page_floor_usd_per_day: Usd | None = Field(
        None,
        description="From this excess on, over three hours at least, somebody is paged, by a rule <id>@page of the same thresholds.",
    )
    evaluation_interval: Duration = Field(
        description="Every so often of event time, 60s to 1h; longer windows less often."
    )

    @model_validator(mode="after")
    def _fits(self) -> LearnedSpec:
        _check_learning(self.baseline, self.baseline_hours_min, self.windows, self.evaluation_interval)
        _check_axes(self.axes)
        _check_ladder(self.floor_usd_per_day, self.page_floor_usd_per_day, self.severity)
        return self

    @property
    def wakes(self) -> bool:
        """Whether anybody is paged."""
        return self.severity == "page" or self.page_floor_usd_per_day is not None

    def ladder(self, axis: str) -> Iterator[dict[str, Any]]:
        """The fields that compiled rules of this sort have: of the page first, so that an incident is told once, by it."""
        common = self.common(axis)
        told = {**common, **self._learning(), "severity": self.severity}
        if self.page_floor_usd_per_day is not None:
            yield {
                **told,
                "id": f"{common['id']}@page",
                "severity": "page",
                "floor_nanousd_per_day": self.page_floor_usd_per_day,
            }
        yield told

    def _learning(self) -> dict[str, Any]:
        return {
            "windows_seconds": tuple(self.windows),
            "baseline_hours": self.baseline // 3600,
            "baseline_hours_min": self.baseline_hours_min,
            "calls_min": self.calls_min,
            "floor_nanousd_per_day": self.floor_usd_per_day,
            "evaluation_interval_seconds": self.evaluation_interval,
        }


def _check_learning(baseline: int, hours_min: int, windows: list[int], interval: int) -> None:
    """What every rule with a learned baseline has to keep.

    Raises:
        ValueError: what would be right.
    """
    if baseline % 3600 or not 3600 <= baseline <= BASELINE_HOURS_MAX * 3600:
        raise ValueError(f"baseline: whole hours from 1h to {BASELINE_HOURS_MAX}h")
    if windows != sorted(set(windows)) or not all(map(_is_window, windows)):
        raise ValueError("windows: rising, each once: whole minutes up to 1h, whole hours up to 24h")
    if interval % 60 or not 60 <= interval <= 3600:
        raise ValueError("evaluation_interval: whole minutes from 60s to 1h")
    if hours_min > baseline // 3600:
        raise ValueError("baseline_hours_min: at most the hours of the baseline")


def _check_ladder(floor: int, page_floor: int | None, severity: Severity) -> None:
    """Whether the page is the upper step.

    Raises:
        ValueError: it is not.
    """
    if page_floor is not None and (severity == "page" or page_floor <= floor):
        raise ValueError(
            "page_floor_usd_per_day: above floor_usd_per_day, of a rule that is a ticket or info"
        )


def _check_axes(axes: list[str]) -> None:
    """Whether all axes are summed from cells.

    Raises:
        ValueError: one is not.
    """
    for axis in axes:
        if axis not in (*CELL_AXES, *JOINT_AXES, GLOBAL):
            raise ValueError(
                f"axis {axis}: drift compares cells, so the axis is {GLOBAL}, one of {', '.join(CELL_AXES)},"
                f" or several joined by {JOINT}"
            )


def _is_window(seconds: int) -> bool:
    return (60 <= seconds <= 3600 and seconds % 60 == 0) or (3600 < seconds <= 86_400 and seconds % 3600 == 0)
