"""One incident is one alert, where other scopes, a second signal or other silences tell the same story."""

from __future__ import annotations

import pytest
from tests.unit.decide.decider_log import Story, drift, part, volume

from tokenfuse.contracts.ruleset import AbsenceRule, PriceRule
from tokenfuse.decide.decider.board import SILENCES_SEEN_MAX

CELL = "feature=chat&tenant=acme"
AXES = ("tenant+feature", "tenant", "feature", "model")
SURGES = [volume(id=f"surge.{axis}", axis=axis) for axis in AXES]
LENGTHS = [drift("prompt", severity="ticket"), drift("output", severity="ticket")]


def rules(story: Story) -> list[str]:
    return sorted(alert.rule for alert in story.pages())


def surge_of_a_cell() -> Story:
    """A feature of a tenant was told first; others find the surge minutes later, each with its own count of the dollars."""
    story = Story(SURGES)
    named = (part("model", "gpt", 1.0), part("prompt_template", "v1", 1.0))
    story.verdict("surge.tenant+feature", CELL, usd=1.0, contributors=named)
    story.wait(600)
    return story


def test_a_surge_told_of_one_feature_of_a_tenant_is_not_told_again_of_the_tenant_the_feature_and_the_model() -> (
    None
):
    story = surge_of_a_cell()
    story.verdict(
        "surge.tenant", "tenant=acme", usd=30.0, contributors=(part("feature", "chat", 29.0, 0.97),)
    )
    story.verdict(
        "surge.feature", "feature=chat", usd=12.0, contributors=(part("tenant", "acme", 11.0, 0.92),)
    )
    both = (part("feature", "chat", 8.0, 0.8), part("tenant", "acme", 8.0, 0.8))
    story.verdict("surge.model", "model=gpt", usd=10.0, contributors=both)
    story.wait(10)
    assert rules(story) == ["surge.tenant+feature"]

    story.verdict("surge.model", "model=gpt", "update", usd=50.0, contributors=both)
    story.wait(70)
    assert all(
        alert.inhibited_by
        for alert in story.alerts()
        if alert.rule == "surge.model" and alert.state == "firing"
    )


@pytest.mark.parametrize(
    "contributors",
    [
        (part("feature", "chat", 12.0, 0.4), part("feature", "search", 18.0, 0.6)),
        (),
    ],
)
def test_a_tenant_of_whose_surge_the_feature_is_the_smaller_part_takes_over(contributors) -> None:
    story = surge_of_a_cell()
    story.verdict("surge.tenant", "tenant=acme", usd=30.0, contributors=contributors)
    story.wait(10)

    assert rules(story) == ["surge.tenant"]


def test_a_model_takes_over_where_its_two_largest_parts_may_have_little_in_common() -> None:
    story = surge_of_a_cell()
    both = (part("feature", "chat", 7.0, 0.7), part("tenant", "acme", 7.0, 0.7))
    story.verdict("surge.model", "model=gpt", usd=10.0, contributors=both)
    story.wait(10)

    assert rules(story) == ["surge.model"]


@pytest.mark.parametrize(("minutes", "told"), [(50, 1), (70, 2)])
def test_prompts_and_answers_that_get_longer_within_the_hour_are_one_alert(minutes: int, told: int) -> None:
    story = Story(LENGTHS)
    story.verdict("prompt", "tenant=acme", usd=5.0, driver="prompt")
    story.wait(60 * minutes)
    story.verdict("output", "tenant=acme", usd=4.0, driver="output")
    story.wait(10)

    assert len(rules(story)) == told


def test_a_cache_that_collapses_beside_longer_prompts_is_told() -> None:
    story = Story([*LENGTHS, drift("cache", severity="ticket")])
    story.verdict("prompt", "tenant=acme", usd=5.0, driver="prompt")
    story.verdict("cache", "tenant=acme", usd=4.0, driver="cache")
    story.wait(10)

    assert rules(story) == ["cache", "prompt"]


def wrong_price_of_acme() -> Story:
    """Told in the evening; no calls at night, and the alert is kept until the morning."""
    common = {
        "kind": "price", "driver": "price", "maturity": "stable", "severity": "ticket", "mode": "warn",
        "measure": "off_book", "share_max": 0.02, "window_seconds": 3600, "calls_min": 5, "floor_nanousd": 0,
        "keep_firing_for_seconds": 12 * 3600,
    }  # fmt: skip
    story = Story([PriceRule(id=axis, axis=axis, **common) for axis in ("tenant", "tenant+feature")])
    story.verdict("tenant", "tenant=acme", usd=2.0, driver="price")
    story.wait(10)
    story.verdict("tenant", "tenant=acme", "clear", usd=0.0, driver="price")
    story.wait(10 * 3600)
    return story


def test_a_wrong_price_that_goes_on_in_the_morning_is_not_told_again_of_a_feature() -> None:
    story = wrong_price_of_acme()
    story.verdict("tenant+feature", CELL, usd=0.1, driver="price")
    story.wait(10)
    assert rules(story) == ["tenant"]

    story.verdict("tenant+feature", "feature=chat&tenant=other", usd=0.1, driver="price")
    story.wait(10)
    assert rules(story) == ["tenant", "tenant+feature"]


def outage(*minutes_ago: int) -> Story:
    """Tenants t0, t1, ... that fell silent so many minutes ago, found at the same moment."""
    rule = AbsenceRule(
        id="silence", kind="absence", driver="volume", maturity="stable", axis="tenant", severity="ticket",
        mode="warn", silence_min_seconds=600, calls_min=12, record_factor=1.5, baseline_hours_min=72,
        floor_nanousd_per_day=0,
    )  # fmt: skip
    story = Story([rule])
    story.wait(3600)
    for n, ago in enumerate(minutes_ago):
        silent(story, n, ago)
    story.wait(10)
    return story


def silent(story: Story, n: int, minutes_ago: int, state: str = "breach") -> None:
    starts_ms = story.now_ms - minutes_ago * 60_000
    story.verdict("silence", f"tenant=t{n:03}", state, usd=0.0, partition=n % 4, starts_ms=starts_ms)


def test_tenants_that_fall_silent_within_ten_minutes_are_one_alert_that_counts_them() -> None:
    story = outage(30, 25, 34)
    assert len(rules(story)) == 1

    story.wait(60)
    silent(story, 0, 31, "update")
    assert "; so have 2 more scopes; " in story.pages()[0].summary


def test_a_tenant_that_fell_silent_earlier_is_an_alert_of_its_own() -> None:
    assert len(rules(outage(30, 41))) == 2


def test_of_an_outage_that_ends_scopes_whose_next_call_takes_minutes_are_not_told_one_by_one() -> None:
    story = outage(30, 30, 30)
    first = int(story.pages()[0].scope["tenant"][1:])
    second, third = sorted({0, 1, 2} - {first})
    silent(story, first, 31, "clear")
    story.wait(600)
    assert rules(story) == []

    silent(story, second, 41, "clear")
    story.wait(400)
    assert [alert.scope for alert in story.pages()] == [{"tenant": f"t{third:03}"}]


def test_an_outage_of_more_tenants_than_each_one_looks_at_is_one_alert() -> None:
    assert len(rules(outage(*[30] * (3 * SILENCES_SEEN_MAX)))) == 1
