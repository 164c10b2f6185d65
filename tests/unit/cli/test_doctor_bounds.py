"""Bounds that a role has reached, as `doctor` reads them from its metrics."""

from __future__ import annotations

from tokenfuse.cli.doctor import Health
from tokenfuse.cli.doctor_bounds import bound_checks, samples

METRICS = """# HELP tokenfuse_folded_total Scope values folded.
# TYPE tokenfuse_folded_total counter
tokenfuse_folded_total{axis="user"} 12345.0
tokenfuse_folded_total{axis="run_id"} 0.0
tokenfuse_folded_created{axis="user"} 1.7e+09
tokenfuse_unpriced_total 3.0
tokenfuse_dead_letters_total{reason="malformed_json"} 9.0
tokenfuse_refused_total{reason="replayed"} 4.0
"""


def test_samples_have_a_name_labels_and_a_value():
    assert list(samples(METRICS))[:2] == [
        ("tokenfuse_folded_total", 'axis="user"', 12345.0),
        ("tokenfuse_folded_total", 'axis="run_id"', 0.0),
    ]


def test_a_bound_that_was_reached_is_shown_where_and_how_often():
    (check,) = bound_checks("agents", samples(METRICS))
    assert (check.health, check.part) == (Health.WARNING, "bounds agents")
    assert check.found == "values folded into ~other since the start: axis=user 12,345"


def test_what_is_no_bound_or_below_it_or_of_another_role_is_not_shown():
    assert list(bound_checks("ingest", samples(METRICS))) == []
    assert list(bound_checks("decider", samples(METRICS))) == []
    behind = 'tokenfuse_ingest_lag_seconds{partition="3"} '
    assert list(bound_checks("ingest", samples(behind + "59"))) == []
    assert [check.found for check in bound_checks("ingest", samples(behind + "3600"))] == [
        "seconds behind the source: partition=3 3,600"
    ]
