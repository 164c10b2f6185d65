"""What people say is to be expected: planned changes and feedback hold learned rules back, and no limit at all."""

from __future__ import annotations

import pytest
from tests.unit.decide.decider_log import (
    PARTITIONS,
    START_MS,
    USD,
    Story,
    cap,
    drift,
    killer,
    part,
    spike,
    volume,
)

from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.rulekinds.absence import AbsenceRule
from tokenfuse.contracts.rulekinds.burst import BurstRule
from tokenfuse.contracts.ruleset import Response
from tokenfuse.contracts.scope import fingerprint
from tokenfuse.decide.decider import DeciderCore, expectations
from tokenfuse.decide.decider.facts import facts_of
from tokenfuse.decide.decider.levels import level, multiple, over

ACME = {"tenant": "acme"}
DAY_S = 86_400
PROMPT = fingerprint("prompt", "tenant=acme")
USUAL = 1000.0
THRESHOLD = 1300.0
"""`drift` fires at 30 % above the usual."""


def burst(**changes: object) -> BurstRule:
    fields = {
        "id": "burst", "kind": "burst", "driver": "volume", "maturity": "stable", "axis": "tenant", "severity": "page",
        "mode": "warn", "windows_seconds": (10,), "factor": 5.0, "surprise_min": 14.0, "times_record": 2.0,
        "calls_min": 5, "floor_nanousd_per_hour": 0,
    }  # fmt: skip
    return BurstRule(**(fields | changes))


RULES = [drift("prompt"), drift("cache", effect_min=0.1), drift("retry", effect_min=0.05), volume(), burst(), spike(), cap(),
         killer("stop", limit_nanousd=USD)]  # fmt: skip


def prompts(story: Story, tokens: float, state: str = "breach", **changes: object):
    """The prompt rule says how long acme's prompts are; 1,000 tokens are usual."""
    said = {"value": tokens, "threshold": THRESHOLD, "driver": "prompt"} | changes
    return story.verdict("prompt", "tenant=acme", state, **said)


def announce(story: Story, factor: float = 3.0, start_s: float = 0, end_s: float = DAY_S, **changes: object):
    said = {
        "scope": ACME, "factor": factor, "reason": "launch", "id": "change-1",
        "starts_at": to_rfc3339(story.now_ms + round(start_s * 1000)),
        "ends_at": to_rfc3339(story.now_ms + round(end_s * 1000)),
    }  # fmt: skip
    return story.command("announce", **(said | changes))


def feedback(story: Story, what: str, alert: str = PROMPT, **changes: object):
    return story.command("feedback", fingerprint=alert, feedback=what, **changes)


def firing(story: Story, tokens: float) -> Story:
    """A story in which acme's prompts have grown and the alert fires."""
    prompts(story, tokens)
    story.wait(10)
    assert story.states("tenant=acme", "prompt")[-1] == "firing"
    return story


def latest(story: Story, rule: str = "prompt"):
    return [alert for alert in story.alerts() if alert.rule == rule][-1]


@pytest.mark.parametrize(
    ("rule", "value", "threshold", "times", "how_far"),
    [
        (drift("prompt"), 1600.0, 1300.0, 1.6, 2.0),
        (drift("cache", effect_min=0.1), 0.4, 0.6, 2.0, 3.0),
        (drift("retry", effect_min=0.05), 0.12, 0.06, 2.4, 2.2),
        (drift("tier", effect_min=0.2), 0.9, 0.7, 1.8, 2.0),
        (volume(), 3000.0, 2000.0, 3.0, 1.5),
        (spike(), 4.5, 3.0, 4.5, 1.5),
        (burst(), 20.0, 10.0, 20.0, 2.0),
    ],
)
def test_what_is_usual_follows_from_value_threshold_and_rule(rule, value, threshold, times, how_far) -> None:
    story = Story([rule])
    story.verdict(rule.id, "tenant=acme", value=value, threshold=threshold)
    facts, verdict = facts_of(rule), story.log[-1][1]

    assert multiple(facts, verdict) == pytest.approx(times)
    assert over(facts, verdict) == pytest.approx(how_far)
    assert level(facts, verdict) > 0


def test_a_planned_change_holds_fire_within_its_factor_and_not_beyond() -> None:
    story = Story(RULES)
    announce(story, factor=3.0)
    (held,) = prompts(story, 2900.0).alerts
    story.wait(600)

    assert (held.state, held.held.reason, held.held.change) == ("pending", "planned_change", "change-1")
    assert "held back: up to 3 times the usual is planned until" in held.summary
    assert story.states("tenant=acme") == ["pending"]
    assert story.core.held_counts() == {"planned_change": 1, "expected": 0, "false_alarm": 0}

    prompts(story, 3100.0, "update")
    story.wait(0)
    assert (latest(story).state, latest(story).held) == ("firing", None)


def test_a_planned_change_is_published_until_it_ends_by_itself_and_what_stands_then_fires() -> None:
    story = Story(RULES)
    (said,) = announce(story, end_s=3600).expectations
    prompts(story, 2000.0)
    assert (said.key, said.value.factor, said.value.reason) == ("change-1", 3.0, "launch")

    story.wait(3599)
    assert story.pages() == []
    story.wait(1)
    over_now = [each for out in story.said for each in out.expectations][-1]
    assert (over_now.key, over_now.value) == ("change-1", None)
    story.wait(0)
    assert [alert.rule for alert in story.pages()] == ["prompt"]


def test_a_change_that_has_not_begun_holds_nothing_and_one_that_is_cancelled_no_more() -> None:
    story = Story(RULES)
    announce(story, start_s=3600)
    firing(story, 2000.0)
    story.wait(3600)
    prompts(story, 2000.0, "update")
    assert story.states("tenant=acme")[-1] == "resolved"
    assert "held back" in latest(story).summary

    prompts(story, 2000.0, "update")
    assert latest(story).held.reason == "planned_change"
    story.wait(60)
    story.command("cancel", change="change-1")
    story.wait(0)
    assert latest(story).state == "firing"


def test_a_change_holds_what_is_inside_its_scope_as_a_silence_does() -> None:
    story = Story([spike(), spike("users", axis="user"), spike("all", axis="global")])
    announce(story, factor=5.0)
    inside = story.verdict(
        "users", "user=u", value=4.0, threshold=3.0, contributors=(part("tenant", "acme", 1.0),)
    )
    mixed = story.verdict(
        "all", "", value=4.0, threshold=3.0, contributors=(part("tenant", "acme", 0.5, 0.5),)
    )
    other = story.verdict("spike", "tenant=globex", value=4.0, threshold=3.0)

    assert [a.held is not None for out in (inside, mixed, other) for a in out.alerts] == [True, False, False]


def test_no_limit_and_no_rule_that_stops_traffic_is_softened_by_a_change() -> None:
    stopping = spike("stopping", mode="enforce", response=Response(action="block", ttl_seconds=600))
    trial = spike("trial", mode="shadow", response=Response(action="block", ttl_seconds=600))
    story = Story([cap(), killer(), stopping, trial])
    announce(story, factor=100.0)
    story.verdict("cap", "tenant=acme", value=50.0, threshold=10.0)
    (killed,) = story.verdict("killer", "tenant=acme").switches
    (stopped,) = story.verdict("stopping", "tenant=acme", value=4.0, threshold=3.0).switches
    story.verdict("trial", "tenant=acme", value=4.0, threshold=3.0)
    story.wait(10)

    assert (killed.value.mode, stopped.value.mode) == ("enforce", "enforce")
    assert {a.rule for a in story.standing().values() if a.state == "firing"} == {"cap", "killer", "stopping"}
    assert latest(story, "trial").held.reason == "planned_change"


def test_a_held_alert_explains_no_other() -> None:
    """It would hide what people have to see."""
    story = Story([spike(), spike("users", axis="user")])
    announce(story, factor=5.0)
    named = (part("user", "u", 5.0),)
    story.verdict("spike", "tenant=acme", usd=10.0, value=4.0, threshold=3.0, contributors=named)
    story.verdict(
        "users", "user=u", usd=5.0, value=9.0, threshold=3.0, contributors=(part("tenant", "acme", 5.0),)
    )
    story.wait(10)

    assert [(a.rule, a.inhibited_by) for a in story.pages()] == [("users", None)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scope": None}, "missing_scope"),
        ({"scope": {"planet": "mars"}}, "unknown_axis"),
        ({"factor": None}, "missing_factor"),
        ({"starts_at": None}, "bad_time"),
        ({"ends_at": "tomorrow"}, "bad_time"),
        ({"end_s": -1}, "bad_time"),
        ({"start_s": 10, "end_s": 10}, "bad_time"),
        ({"end_s": 31 * DAY_S + 1}, "bad_time"),
        ({"start_s": 31 * DAY_S + 1, "end_s": 32 * DAY_S}, "bad_time"),
    ],
)
def test_a_change_without_scope_factor_or_bounded_time_is_refused(changes, reason) -> None:
    story = Story(RULES)
    factor = changes.pop("factor", 3.0)
    out = announce(story, factor, **changes)

    assert ([r.reason.value for r in out.refused], out.expectations) == ([reason], [])


def test_changes_and_lessons_are_bounded_and_reaching_the_bound_is_visible(monkeypatch) -> None:
    monkeypatch.setattr(expectations, "CHANGES_MAX", 1)
    monkeypatch.setattr(expectations, "LESSONS_MAX", 1)
    story = Story(RULES)
    announce(story, id="one", scope={"tenant": "x"})
    announce(story, id="two", scope={"tenant": "y"})
    for tenant in ("a", "b"):
        story.verdict("spike", f"tenant={tenant}", value=4.0, threshold=3.0)
        feedback(story, "false_alarm", fingerprint("spike", f"tenant={tenant}"))
    story.command("cancel", change="two")

    assert story.reasons() == ["changes_full", "lessons_full", "unknown_change"]


def test_a_false_alarm_ends_the_alert_and_raises_its_bar_by_a_quarter() -> None:
    story = firing(Story(RULES), 1360.0)  # 1.2 times over
    (said,) = feedback(story, "false_alarm", reason="a batch").expectations
    assert (said.value.factor, said.value.rule, said.value.by) == (1.25, "prompt", "alice@cli")
    assert story.states("tenant=acme")[-1] == "resolved"
    prompts(story, 0.0, "clear")

    (again,) = prompts(story, 1370.0).alerts  # 1.23 times over
    assert (again.state, again.held.reason, again.bar_factor) == ("pending", "false_alarm", 1.25)
    prompts(story, 1380.0, "update")  # 1.27 times over
    story.wait(10)
    assert (latest(story).state, latest(story).bar_factor) == ("firing", 1.25)
    assert "false alarms have raised its bar to 1.25 times the threshold" in latest(story).summary


def test_a_false_alarm_far_over_its_bar_stays_quiet_as_long_as_it_is_the_same() -> None:
    story = firing(Story(RULES), 2000.0)
    feedback(story, "false_alarm")
    prompts(story, 2400.0, "update")
    story.wait(10)
    assert latest(story).held.reason == "false_alarm"
    prompts(story, 2000.0, "clear")
    prompts(story, 2000.0)
    story.wait(10)

    assert latest(story).state == "firing"


def test_the_bar_is_raised_to_twice_at_most_and_comes_down_a_step_in_two_weeks() -> None:
    story = Story(RULES)
    for _ in range(6):
        prompts(story, 2000.0)
        story.wait(10)
        feedback(story, "false_alarm")
        prompts(story, 2000.0, "clear")
    bars = [each.value.factor for out in story.said for each in out.expectations]
    assert bars == [1.25, 1.5, 1.75, 2.0, 2.0, 2.0]

    for _ in range(4):
        story.wait(14 * DAY_S)
    faded = [each.value and each.value.factor for out in story.said for each in out.expectations][len(bars) :]
    assert faded == [1.75, 1.5, 1.25, None]


def test_feedback_on_an_alert_that_is_over_teaches_and_only_as_long_as_it_is_remembered() -> None:
    story = firing(Story(RULES), 1360.0)
    prompts(story, 0.0, "clear")
    story.wait(60)
    feedback(story, "false_alarm")
    prompts(story, 1360.0)
    story.wait(10)
    assert latest(story).held.reason == "false_alarm"
    prompts(story, 0.0, "clear")
    story.wait(DAY_S)

    assert [r.reason.value for r in feedback(story, "false_alarm").refused] == ["unknown_alert"]


def test_an_expected_level_is_the_new_normal_up_to_a_quarter_above_it_for_four_weeks() -> None:
    story = firing(Story(RULES), 2000.0)
    (said,) = feedback(story, "expected", reason="new prompts").expectations
    assert said.value.accepted == "prompt length up to 2,500 tokens"
    assert story.states("tenant=acme")[-1] == "resolved"

    prompts(story, 2450.0, "update")
    story.wait(3600)
    assert (latest(story).state, latest(story).held.reason) == ("pending", "expected")
    prompts(story, 2550.0, "update")
    story.wait(0)
    assert latest(story).state == "firing"

    prompts(story, 2400.0, "update")
    prompts(story, 2400.0, "update")
    assert latest(story).held is not None
    story.wait(28 * DAY_S)
    story.wait(0)
    assert latest(story).state == "firing"


def test_an_accepted_level_stays_what_it_was_while_the_baseline_learns() -> None:
    """Times the threshold would creep upwards with it."""
    story = firing(Story(RULES), 2000.0)
    feedback(story, "expected")
    prompts(story, 2600.0, "update", threshold=1.3 * 1900)
    story.wait(10)

    assert latest(story).state == "firing"


def test_a_drift_that_was_acknowledged_is_the_new_normal_after_three_days() -> None:
    story = firing(Story(RULES), 2000.0)
    story.command("ack", fingerprint=PROMPT)
    story.wait(3 * DAY_S - 1)
    prompts(story, 2000.0, "update")
    assert latest(story).state == "firing"
    story.wait(1)
    out = prompts(story, 2000.0, "update")

    assert [each.value.accepted for each in out.expectations] == ["prompt length up to 2,500 tokens"]
    assert latest(story).state == "resolved"


def test_a_cap_that_was_acknowledged_fires_for_ever() -> None:
    story = Story(RULES)
    story.verdict("cap", "tenant=acme")
    story.wait(10)
    story.command("ack", fingerprint=fingerprint("cap", "tenant=acme"))
    story.wait(4 * DAY_S)
    story.verdict("cap", "tenant=acme", "update")

    assert latest(story, "cap").state == "firing"


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (cap("rule"), "explicit_limit"),
        (killer("rule"), "explicit_limit"),
        (spike("rule", mode="enforce", response=Response(action="block", ttl_seconds=60)), "stops_traffic"),
    ],
)
@pytest.mark.parametrize("what", ["expected", "false_alarm"])
def test_limits_and_rules_that_stop_traffic_learn_nothing_from_feedback(rule, reason, what) -> None:
    story = Story([rule])
    story.verdict("rule", "tenant=acme")
    story.wait(10)
    out = feedback(story, what, fingerprint("rule", "tenant=acme"))

    assert ([r.reason.value for r in out.refused], out.expectations, out.alerts) == ([reason], [], [])
    assert [alert.rule for alert in story.pages()] == ["rule"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"feedback": "expected"}, "missing_fingerprint"),
        ({"fingerprint": PROMPT}, "missing_feedback"),
        ({"fingerprint": "0123456789abcdef", "feedback": "expected"}, "unknown_alert"),
    ],
)
def test_feedback_without_its_parts_is_refused(fields, reason) -> None:
    story = firing(Story(RULES), 2000.0)

    assert [r.reason.value for r in story.command("feedback", **fields).refused] == [reason]


def test_what_people_said_survives_a_restart() -> None:
    story = firing(Story(RULES), 2000.0)
    feedback(story, "expected")
    announce(story)
    again = DeciderCore.restore(story.core.snapshot(), PARTITIONS)

    assert again.snapshot() == story.core.snapshot()
    prompts(story, 2400.0, "update")
    assert again.apply(*story.log[-1]).alerts == story.said[-1].alerts
    assert story.said[-1].alerts[0].held is not None
    assert to_rfc3339(START_MS + 10_000 + DAY_S * 1000) == story.said[-1].alerts[0].held.until


def test_a_silence_that_is_expected_stays_so_however_long_it_gets() -> None:
    rule = AbsenceRule(
        id="silence", kind="absence", driver="volume", maturity="stable", axis="tenant", severity="page", mode="warn",
        silence_min_seconds=600, calls_min=12, record_factor=1.5, baseline_hours_min=72, floor_nanousd_per_day=0,
    )  # fmt: skip
    story = Story([rule])
    story.verdict("silence", "tenant=acme", usd=0.0, value=12.0, threshold=12.0)
    story.wait(10)
    alert = fingerprint("silence", "tenant=acme")
    story.command("feedback", fingerprint=alert, feedback="expected", reason="switched off")
    story.wait(120)
    story.verdict("silence", "tenant=acme", "update", usd=0.0, value=1200.0, threshold=12.0)
    story.wait(10)

    assert story.standing()[alert].state == "pending"
    assert "that it makes no calls is expected" in story.standing()[alert].summary
