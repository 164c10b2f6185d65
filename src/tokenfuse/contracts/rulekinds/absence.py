"""Absence, compiled."""

from __future__ import annotations

from tokenfuse.contracts.rulekinds.base import Rule


class AbsenceRule(Rule, frozen=True, kw_only=True, tag="absence"):
    """A scope that always has calls has had none for longer than its last two weeks ever showed.

    Attributes:
        silence_min_seconds: no shorter silence counts.
        calls_min: calls that are usual in the time of the silence, at least.
        record_factor: times the most calls that any silence of the last two weeks cost the scope, at least.
        baseline_hours_min: hours with calls that the two weeks must have.
        floor_nanousd_per_day: a scope that usually spends less is nobody's page.
    """

    silence_min_seconds: int
    calls_min: int
    record_factor: float
    baseline_hours_min: int
    floor_nanousd_per_day: int
