"""How far ingest is behind: metrics, and one line while it is."""

from __future__ import annotations

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tokenfuse.runtime.ingest.backlog import Backlog

NOW_MS = 1_764_000_000_000
HOUR_MS = 3_600_000


def lag(name: str, partition: int) -> float | None:
    return REGISTRY.get_sample_value(f"tokenfuse_ingest_lag_{name}", {"partition": str(partition)})


def test_a_consumer_an_hour_behind_is_seen_in_both_metrics_and_said_once():
    backlog = Backlog()
    with capture_logs() as lines:
        for second in range(5):
            backlog.note({0: (900_000, NOW_MS - HOUR_MS), 1: (3, NOW_MS - 200)}, NOW_MS + second * 1000)
    assert (lag("records", 0), lag("seconds", 0)) == (900_000, 3604)
    assert lag("seconds", 1) < 10
    (line,) = lines
    assert (line["log_level"], line["partitions"]) == ("warning", {0: {"records": 900_000, "seconds": 3600}})


def test_when_it_has_caught_up_that_is_said_too_and_an_idle_partition_is_not_behind():
    backlog = Backlog()
    backlog.note({7: (900_000, NOW_MS - HOUR_MS)}, NOW_MS)
    with capture_logs() as lines:
        backlog.note({7: (0, NOW_MS - HOUR_MS)}, NOW_MS)
        backlog.note({7: (0, NOW_MS - HOUR_MS)}, NOW_MS)
    assert lag("seconds", 7) == 0
    assert [line["event"] for line in lines] == ["ingest is no longer behind"]


def test_a_partition_of_which_nothing_was_cut_yet_has_no_age():
    Backlog().note({8: (5, -1)}, NOW_MS)
    assert (lag("records", 8), lag("seconds", 8)) == (5, 0)


def test_a_partition_that_another_worker_has_now_shows_no_lag_here():
    backlog = Backlog()
    backlog.note({9: (900_000, NOW_MS - HOUR_MS)}, NOW_MS)
    backlog.given_up()
    assert (lag("records", 9), lag("seconds", 9)) == (None, None)
