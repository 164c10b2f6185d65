"""Bursts, compiled."""

from __future__ import annotations

from tokenfuse.contracts.rulekinds.base import Rule


class BurstRule(Rule, frozen=True, kw_only=True, tag="burst"):
    """Many more calls within seconds than the scope's last hour makes likely, and than it had on any day before.

    Attributes:
        windows_seconds: how far back the burst reaches; any of them fires.
        factor: times the calls of the last hour, at least. surprise_min: minus the natural logarithm of the chance of
            as many calls, at least.
        times_record: times the most calls that a window of this length held on a day of the last two weeks, at least.
        calls_min: with fewer calls in a window it holds none that could be a burst.
        floor_nanousd_per_hour: an excess at a lower rate is nobody's page.
        floor_nanousd: nor is a window whose excess is less.
    """

    windows_seconds: tuple[int, ...]
    factor: float
    surprise_min: float
    times_record: float
    calls_min: int
    floor_nanousd_per_hour: int
    floor_nanousd: int = 0
