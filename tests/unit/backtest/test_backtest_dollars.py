"""What alerts would have saved, to the nano-dollar, and which were probably false."""

from __future__ import annotations

import numpy as np
import pytest

from tokenfuse.backtest.episodes import Episode, episodes, has_twin
from tokenfuse.backtest.judge import ACTS_AFTER_MS, by_rule, judge, per_week
from tokenfuse.backtest.normal import Past, against, alerted_hours
from tokenfuse.backtest.spend import EMPTY, HOUR_S, Spend
from tokenfuse.contracts.alert import Alert
from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.rulekinds.cap import CapRule
from tokenfuse.contracts.rulekinds.spike import SpikeRule

DAY_S = 24 * HOUR_S
MONDAY_S = 1_772_409_600  # 2026-03-02T00:00:00Z
USD = 10**9
FLOOR = 5 * USD

SPIKE = SpikeRule(
    id="spike", kind="spike", driver="cost", maturity="stable", axis="tenant", severity="ticket", mode="warn",
    pane="1h", factor=3.0, history_panes=24, history_panes_min=1, floor_nanousd=FLOOR, keep_firing_for_seconds=600,
)  # fmt: skip
CAP = CapRule(
    id="cap", kind="cap", driver="volume", maturity="stable", axis="tenant", severity="page", mode="warn",
    window="1h", limit_nanousd=USD,
)  # fmt: skip


def spend(*rows: tuple[int, int, int, int]) -> Spend:
    """Rows of (unit, second, calls, nano-dollars)."""
    columns = np.array(sorted(rows, key=lambda row: row[1]), np.int64).T
    return Spend(*columns)


def every_hour(days: int, nanousd: int, unit: int = 0) -> list[tuple[int, int, int, int]]:
    return [(unit, MONDAY_S + h * HOUR_S, 10, nanousd) for h in range(days * 24)]


def alert(state: str, at_s: int, **fields) -> Alert:
    defaults = {
        "fingerprint": "f", "seq": 1, "rule": "spike", "kind": "spike", "driver": "volume", "scope": {"tenant": "acme"},
        "starts_at": to_rfc3339(MONDAY_S * 1000), "severity": "ticket", "value": 1.0, "threshold": 1.0, "unit": "usd",
        "excess_usd": "1", "excess_usd_per_hour": "1", "summary": "",
    }  # fmt: skip
    return Alert(**defaults | fields, state=state, at=to_rfc3339(at_s * 1000))


def episode(from_s: int, told_s: int, to_s: int, **fields) -> Episode:
    defaults = {
        "rule": "spike", "kind": "spike", "driver": "volume", "severity": "ticket", "scope": {"tenant": "acme"}
    }  # fmt: skip
    return Episode(
        **defaults | fields, starts_ms=from_s * 1000, told_ms=told_s * 1000, end_ms=to_s * 1000
    )  # fmt: skip


def past(spent: Spend, alerted=frozenset()) -> Past:
    return Past(spent, MONDAY_S, alerted, {0: 0, 1: 0})


# Episodes.


def test_an_episode_ends_with_the_breach_and_not_with_the_time_that_the_rule_lingers():
    told = episodes([alert("firing", MONDAY_S), alert("resolved", MONDAY_S + 3600)], [SPIKE], 0)

    assert [each.end_ms for each in told] == [(MONDAY_S + 3000) * 1000]


def test_what_another_alert_explains_was_told_to_nobody_until_it_stands_alone():
    transitions = [
        alert("pending", MONDAY_S), alert("firing", MONDAY_S + 10, inhibited_by="other"), alert("firing", MONDAY_S + 70),
        alert("firing", MONDAY_S + 130),
    ]  # fmt: skip
    told = episodes(transitions, [SPIKE], (MONDAY_S + 500) * 1000)

    assert [(e.told_ms, e.end_ms, e.open) for e in told] == [
        ((MONDAY_S + 70) * 1000, (MONDAY_S + 500) * 1000, True)
    ]


def test_a_twin_is_the_same_rule_and_scope_within_half_an_hour():
    mine = episode(MONDAY_S, MONDAY_S, MONDAY_S + 60)

    assert has_twin(mine, [episode(MONDAY_S, MONDAY_S + 1800, MONDAY_S + 3600)])
    assert not has_twin(mine, [episode(MONDAY_S, MONDAY_S + 1801, MONDAY_S + 3600)])
    assert not has_twin(mine, [episode(MONDAY_S, MONDAY_S, MONDAY_S + 60, scope={"tenant": "other"})])


# Dollars.


def test_saved_is_what_was_spent_above_the_usual_hour_from_five_minutes_after_the_telling():
    start_s = MONDAY_S + 3 * DAY_S
    during = [(0, start_s + s, 1, 1_000_000_001) for s in range(0, 3600, 10)]
    found = judge(
        episode(start_s, start_s + 60, start_s + 3600), SPIKE, past(spend(*every_hour(3, 3600), *during)), None, None
    )  # fmt: skip

    panes = (3600 - 60 - ACTS_AFTER_MS // 1000) // 10
    assert found.saved_nanousd == panes * 1_000_000_001 - (3600 - 360)
    assert found.excess_nanousd == 360 * 1_000_000_001 - 3600
    assert found.against == "usual_hour"


def test_a_weekend_is_compared_with_weekends_and_hours_with_alerts_teach_nothing():
    saturday_s = MONDAY_S + 12 * DAY_S
    rows = [
        (0, s, 1, 1000 if (s - MONDAY_S) // DAY_S % 7 < 5 else 100)
        for s in range(MONDAY_S, saturday_s + HOUR_S, HOUR_S)
    ]
    mine = episode(saturday_s, saturday_s, saturday_s + HOUR_S)
    odd = frozenset({MONDAY_S + 5 * DAY_S})

    # One weekend before has two days, of which one is odd: all days are asked then.
    assert judge(mine, SPIKE, past(spend(*rows)), None, None).excess_nanousd == 0
    assert judge(mine, SPIKE, past(spend(*rows), odd), None, None).excess_nanousd == 100 - 10_100 // 11


def test_dearer_calls_are_compared_with_what_calls_of_their_cell_cost_so_that_more_calls_are_no_excess():
    start_s = MONDAY_S + 3 * DAY_S
    rows = [
        *every_hour(3, 1000),
        *every_hour(3, 50_000, unit=1),
        (0, start_s, 100, 30_000),
        (1, start_s, 1, 5000),
    ]
    mine = episode(start_s, start_s, start_s + HOUR_S, driver="prompt")
    found = judge(mine, SPIKE, past(spend(*rows)), None, None)

    assert (found.excess_nanousd, found.against) == (30_000 - 100 * 100, "per_call")


def test_a_move_to_dearer_models_is_measured_across_the_models():
    start_s = MONDAY_S + 3 * DAY_S
    rows = [*every_hour(3, 1000), *every_hour(3, 50_000, unit=1), (1, start_s, 20, 100_000)]
    mine = episode(start_s, start_s, start_s + HOUR_S, driver="tier")

    assert judge(mine, SPIKE, past(spend(*rows)), None, None).excess_nanousd == 100_000 - 20 * 51_000 // 20


def test_what_comes_after_a_cap_should_not_have_been_spent():
    start_s = MONDAY_S + 3 * DAY_S
    rows = [*every_hour(3, 1000), (0, start_s, 1, 70), (0, start_s + 900, 1, 7)]
    found = judge(
        episode(start_s, start_s, start_s + HOUR_S, kind="cap"), CAP, past(spend(*rows)), None, None
    )

    assert (found.saved_nanousd, found.against, found.false) == (7, "nothing", None)


def test_a_scope_without_a_day_of_its_own_has_no_figure():
    rows = every_hour(1, 1000)[1:]
    start_s = MONDAY_S + DAY_S
    found = judge(episode(start_s, start_s, start_s + HOUR_S), SPIKE, past(spend(*rows)), None, None)

    assert (found.saved_nanousd, found.excess_nanousd, found.false) == (None, None, None)


def test_with_a_counterfactual_the_difference_is_exact_and_may_not_be_negative():
    start_s = MONDAY_S
    mine = episode(start_s, start_s, start_s + HOUR_S)
    run, other = spend((0, start_s + 600, 1, 10)), spend((7, start_s + 700, 1, 3))

    found = judge(mine, SPIKE, past(run), other, [])
    assert (found.saved_nanousd, found.against, found.false) == (7, "counterfactual", False)
    assert judge(mine, SPIKE, past(run), EMPTY, [mine]).false is True
    assert judge(mine, SPIKE, past(EMPTY), other, []).saved_nanousd == 0


# False alarms.


@pytest.mark.parametrize(("extra", "false"), [(FLOOR, False), (FLOOR - 1, True)])
def test_without_a_counterfactual_what_cost_less_than_the_floor_above_the_usual_was_probably_false(
    extra, false
):
    start_s = MONDAY_S + 3 * DAY_S
    rows = [*every_hour(3, 1000), (0, start_s, 1, 1000 + extra)]

    found = judge(episode(start_s, start_s, start_s + HOUR_S), SPIKE, past(spend(*rows)), None, None)
    assert found.false is false


def test_the_report_counts_what_was_told_and_the_alerts_of_the_counterfactual():
    mine = episode(MONDAY_S, MONDAY_S, MONDAY_S + 60)
    found = judge(mine, SPIKE, past(EMPTY), None, None)
    spike, cap = by_rule([SPIKE, CAP], [found], None)
    assert (spike.tickets, spike.pages, spike.unknown, spike.judged) == (1, 0, 1, 0)
    assert (cap.tickets, cap.pages) == (0, 0)

    spike, cap = by_rule([SPIKE, CAP], [found], [mine, mine, episode(0, 0, 0, severity="info")])
    assert (spike.false, spike.judged, cap.false) == (2, None, 0)
    assert per_week(2, 14 * DAY_S * 1000) == 1.0


def test_alerted_hours_are_those_of_the_whole_breach():
    hours = alerted_hours([episode(MONDAY_S + 3599, MONDAY_S + 3700, MONDAY_S + 7200)])
    assert hours == {MONDAY_S, MONDAY_S + HOUR_S, MONDAY_S + 2 * HOUR_S}


def test_agent_runs_should_have_been_stopped():
    run = episode(MONDAY_S, MONDAY_S, MONDAY_S, kind="agent", scope={"run_id": "r"})
    assert against(run, past(EMPTY)) == "nothing"
