"""Volume, compiled."""

from __future__ import annotations

from tokenfuse.contracts.rulekinds.base import Rule


class VolumeRule(Rule, frozen=True, kw_only=True, tag="volume"):
    """More calls than the scope has ever had in a window of this length, and than is usual at this time of the day.

    Attributes:
        windows_seconds: whole minutes up to an hour, then whole hours.
        ratio_min: times the larger of what this hour of the day usually brings and what the hours before brought.
        record_factor: times the most calls that such a window had in the scope's last 14 ordinary days.
        baseline_hours, baseline_hours_min, calls_min, floor_nanousd_per_day, evaluation_interval_seconds: as in
            DriftRule.
    """

    windows_seconds: tuple[int, ...]
    ratio_min: float
    record_factor: float
    baseline_hours: int
    baseline_hours_min: int
    calls_min: int
    floor_nanousd_per_day: int
    evaluation_interval_seconds: int
