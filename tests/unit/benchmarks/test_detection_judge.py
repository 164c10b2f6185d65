"""The judge on alerts and labels made by hand."""

from __future__ import annotations

import pytest
from benchmarks.detection import table
from benchmarks.detection.alerts import Raised, raised
from benchmarks.detection.clock import DAY_MS, HOUR_MS, JUDGED_MS, MINUTE_MS
from benchmarks.detection.judge import burnt, by_chance, held, is_right, judge
from benchmarks.detection.labels import HarmlessLabel, Label, Labels, Part

from tokenfuse.contracts.alert import Alert, CostChange, DriverUsd

START_MS = JUDGED_MS + 3 * DAY_MS
CELL = {"tenant": "t01", "feature": "chat"}


def label(**changes):
    """Two hours of dearer prompts in one cell: a dollar a minute in the first hour, nothing in the second."""
    fields = {
        "incident": 0,
        "kind": "prompt_step",
        "scope": CELL,
        "drivers": ("prompt",),
        "start_ms": START_MS,
        "end_ms": START_MS + 2 * HOUR_MS,
        "settings": {},
        "calls": 100,
        "calls_per_hour": 50.0,
        "excess_nanousd": 60 * 10**9,
        "minutes": (10**9,) * 60,
        "parts": (
            Part("t01", "chat", "small", 90, 90, 55 * 10**9),
            Part("t01", "chat", "large", 10, 10, 5 * 10**9),
            Part("t01", "search", "small", 5, 0, 0),
            Part("t02", "chat", "small", 900, 0, 0),
        ),
    }
    return Label(**(fields | changes))


def alert(scope=CELL, at_ms=START_MS + 30 * MINUTE_MS, **changes):
    fields = {"rule": "r", "driver": "prompt", "severity": "page", "end_ms": at_ms + HOUR_MS}
    return Raised(scope=scope, at_ms=at_ms, **(fields | changes))


def judged(run, counterfactual=(), null=None, labels=None, harmless=()):
    incidents = (label(),) if labels is None else tuple(labels)
    return judge(Labels(1, incidents, tuple(harmless)), "m", run, counterfactual, null)


def test_an_alert_in_time_and_scope_finds_the_incident():
    found = judged([alert()])
    (verdict,) = found.verdicts

    assert verdict.delay_ms == 30 * MINUTE_MS
    assert verdict.burnt == pytest.approx(31 / 60)
    assert (verdict.right_driver, verdict.right_scope, verdict.same_scope) == (True, True, True)
    assert (verdict.alerts, found.false_all) == (1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        alert(at_ms=START_MS - MINUTE_MS),
        alert(at_ms=START_MS + 3 * HOUR_MS + MINUTE_MS),
        alert(scope={"tenant": "t02"}),
        alert(scope={"tenant": "t01", "feature": "chat", "model": "large"}),
        alert(scope={"run_id": "run-7"}),
    ],
    ids=["too early", "too late", "another tenant", "a twelfth of the dollars", "a run that is not of it"],
)
def test_an_alert_at_another_time_or_place_is_false(wrong):
    found = judged([wrong])

    assert found.verdicts[0].delay_ms is None
    assert (found.false_pages, found.false_all) == (1, 1)


def test_an_alert_that_the_counterfactual_has_too_is_chance_and_counts_as_false_once():
    found = judged([alert()], [alert(at_ms=START_MS + 20 * MINUTE_MS)])

    assert found.verdicts[0].delay_ms is None
    assert found.false_all == 1


def test_a_counterfactual_alert_of_another_rule_takes_nothing_away():
    found = judged([alert()], [alert(rule="other", severity="ticket")])

    assert found.verdicts[0].delay_ms == 30 * MINUTE_MS
    assert (found.false_pages, found.false_all) == (0, 1)


def test_more_alerts_of_one_incident_are_counted_and_the_first_is_judged():
    found = judged([alert(scope={"tenant": "t01"}, driver="volume"), alert(at_ms=START_MS + HOUR_MS)])
    (verdict,) = found.verdicts

    assert (verdict.alerts, verdict.right_driver, verdict.same_scope) == (2, False, False)
    assert verdict.right_scope  # 100 of the tenant's 105 calls, and every dollar
    assert found.false_all == 0


def test_a_scope_that_holds_the_dollars_among_many_other_calls_finds_but_is_not_right():
    assert held(label(), {"feature": "chat"}) == (1.0, 100 / 1000)
    assert not is_right(label(), {"feature": "chat"})
    assert not is_right(label(), {})
    assert is_right(label(), {**CELL, "prompt_template": "chat-v1"})
    assert not is_right(label(), {"user": "t01-u3"})


def test_another_name_of_the_same_calls_is_right_even_where_the_incident_changed_only_some_of_them():
    of_feature = label(scope={"feature": "chat"})

    assert is_right(of_feature, {"prompt_template": "chat-v1"})
    assert not is_right(of_feature, {"model": "small", "tenant": "t02"})


def test_the_run_of_a_loop_is_its_right_scope():
    loop = label(kind="agent_loop", runs=("run-7",))

    assert is_right(loop, {"run_id": "run-7"})
    assert not is_right(loop, {"run_id": "run-8"})
    assert judged([alert(scope={"run_id": "run-7"})], labels=[loop]).verdicts[0].right_scope


def test_alerts_of_the_learned_weeks_do_not_count():
    assert judged([alert(at_ms=JUDGED_MS - 1)]).false_all == 0


def test_the_null_run_is_counted_by_itself():
    found = judged([], null=[alert(), alert(severity="ticket")])

    assert (found.null_pages, found.null_all, found.false_all) == (1, 2, 0)


def test_burnt_is_the_share_of_the_excess_until_the_alert():
    assert burnt(label(), START_MS) == pytest.approx(1 / 60)
    assert burnt(label(), START_MS + 2 * HOUR_MS) == 1.0


def test_an_alert_that_fires_every_day_finds_everything_by_chance_and_one_that_fires_once_seldom():
    daily = [alert(at_ms=JUDGED_MS + day * DAY_MS + HOUR_MS // 2) for day in range(14)]

    assert by_chance(label(), daily) == 1.0
    assert by_chance(label(), [alert(at_ms=START_MS + 2 * DAY_MS)]) == pytest.approx(1 / 13)
    assert by_chance(label(), [alert(scope={"tenant": "t02"}, at_ms=START_MS + DAY_MS)]) == 0.0


def test_false_alerts_during_a_harmless_event_are_named_after_it():
    holiday = HarmlessLabel("holiday", START_MS, START_MS + DAY_MS, ({"tenant": "t02", "feature": "chat"},))
    found = judged([], [alert(scope={"tenant": "t02"}), alert(scope={"tenant": "t03"})], harmless=[holiday])

    assert found.false_harmless == {"holiday": 1}


# alerts.jsonl


def transition(state, minute, **changes):
    fields = {
        "fingerprint": "f",
        "seq": minute,
        "rule": "r",
        "kind": "drift",
        "driver": "prompt",
        "scope": CELL,
        "starts_at": "2025-11-20T00:00:00Z",
        "at": f"2025-11-20T00:{minute:02d}:00Z",
        "severity": "page",
        "value": 1.0,
        "threshold": 1.0,
        "unit": "ratio",
        "excess_usd": "3.000000001",
        "excess_usd_per_hour": "1",
        "summary": "s",
        "cost_change": CostChange(
            starts_at="2025-11-19T23:00:00Z",
            ends_at="2025-11-20T00:00:00Z",
            spent_usd="3.1",
            usual_usd="0.099999999",
        ),
    }
    return Alert(state=state, **(fields | changes))


def test_somebody_is_told_once_from_the_first_firing_to_the_resolved_transition():
    told = raised(
        [
            transition("pending", 0),
            transition("firing", 1),
            transition("firing", 5),
            transition("resolved", 9),
            transition("firing", 20),
        ]
    )

    assert [t.at_ms % HOUR_MS // MINUTE_MS for t in told] == [1, 20]
    assert told[0].end_ms % HOUR_MS // MINUTE_MS == 9


def test_nobody_is_told_of_what_another_alert_explains_or_what_only_informs():
    assert raised([transition("firing", 1, inhibited_by="g"), transition("firing", 2, severity="info")]) == []
    assert len(raised([transition("firing", 1, inhibited_by="g"), transition("firing", 2)])) == 1


def test_drivers_are_checked_to_the_nano_dollar():
    exact = (DriverUsd(driver="prompt", usd="2.000000002"), DriverUsd(driver="volume", usd="0.999999999"))
    off = (DriverUsd(driver="prompt", usd="3.000000002"),)

    assert raised([transition("firing", 1, drivers=exact)])[0].explained is True
    assert raised([transition("firing", 1, drivers=off)])[0].explained is False
    assert raised([transition("firing", 1)])[0].explained is None
    assert raised([transition("firing", 1, drivers=exact, cost_change=None)])[0].explained is None


def test_the_table_has_a_column_per_method_and_counts_over_seeds():
    found = judged([alert()])
    text = table.table([found, judged([])])

    assert "| recall | >= .92 | 0.500 of 2 |" in text
    assert "| median delay | <= 18 min | 30 min |" in text
    assert "| found, median delay | m |" in table.by_kind([found])
