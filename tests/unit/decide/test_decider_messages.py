"""The sentences that people read at night, word for word."""

from __future__ import annotations

import doctest

import pytest
from tests.unit.decide.decider_log import START_MS, USD, Story, cap, killer, part, spike

from tokenfuse.contracts.ruleset import (
    AbsenceRule,
    DriftRule,
    NoveltyRule,
    PriceRule,
    PromptBudgetRule,
    Response,
)
from tokenfuse.contracts.signal import DriverPart
from tokenfuse.decide.decider import messages


def drift(signal: str, axis: str = "feature") -> DriftRule:
    return DriftRule(
        id="drift", kind="drift", driver=signal, maturity="stable", axis=axis, severity="page", mode="warn",
        signal=signal, windows_seconds=(3600,), z_min=5, effect_min=0.2, baseline_hours=168, baseline_hours_min=24,
        calls_min=20, floor_nanousd_per_day=USD, evaluation_interval_seconds=300,
    )  # fmt: skip


def price(measure: str) -> PriceRule:
    return PriceRule(
        id="price", kind="price", driver="price", maturity="stable", axis="model", severity="ticket", mode="warn",
        measure=measure, share_max=0.02, window_seconds=3600, calls_min=5, floor_nanousd=USD,
    )  # fmt: skip


PROMPTS = PromptBudgetRule(
    id="prompts", kind="prompt_budget", driver="prompt", maturity="stable", axis="feature", severity="ticket",
    mode="warn", limit=32_000, window_seconds=3600, calls_min=20, floor_nanousd=USD,
)  # fmt: skip

SILENCE = AbsenceRule(
    id="silence", kind="absence", driver="volume", maturity="stable", axis="tenant", severity="ticket", mode="warn",
    silence_min_seconds=600, calls_min=12, record_factor=1.5, baseline_hours_min=72, floor_nanousd_per_day=USD,
)  # fmt: skip

NEW = NoveltyRule(
    id="new", kind="novelty", driver="volume", maturity="stable", axis="model", severity="ticket", mode="warn",
    window_seconds=86_400, floor_nanousd=5 * USD, baseline_hours_min=72,
)  # fmt: skip


def sentence(rule, scope: str, **fields: object) -> str:
    story = Story([rule])
    story.verdict(rule.id, scope, **fields)
    story.wait(10)
    return next(alert for alert in story.alerts() if alert.state == "firing").summary


WHO = (part("model", "gpt", 2.3), part("tenant", "acme", 1.9, 0.82), part("user", "u-17", 1.2, 0.52))
PROMPT = (DriverPart("prompt", 8_200_000_000), DriverPart("volume", 800_000_000))


@pytest.mark.parametrize(
    ("rule", "scope", "fields", "expected"),
    [
        pytest.param(
            killer(), "tenant=acme",
            {"usd": 2.31, "excess_nanousd_per_hour": 45_100_000_000, "contributors": WHO, "drivers": PROMPT},
            "Tenant acme has spent $12.31, over its 1h cap of $10.00 since 15:59 UTC; $2.31 above it so far, now $45.10 "
            "an hour; driver: longer prompts ($8.20), largest part user u-17 ($1.20, 52 %); "
            "blocked at the gateways until 16:10 UTC.",
            id="a cap that blocks",
        ),
        pytest.param(
            cap(window="month", resolution="warn", severity="ticket"), "tenant=acme",
            {"usd": 0.004, "starts_ms": START_MS - 86_400_000},
            "Tenant acme has spent $10.00, over its monthly budget threshold of $10.00 since 2025-11-23 16:00 UTC; "
            "$0.0040 above it so far; driver: more calls; this rule stops nothing.",
            id="a budget threshold, found a day late",
        ),
        pytest.param(
            killer(mode="shadow", axis="run_id", window="day", response=Response(action="block", ttl_seconds=90_000)),
            "run_id=r-1", {},
            "Run r-1 has spent $11.00, over its daily cap of $10.00 since 15:59 UTC; $1.00 above it so far; driver: "
            "more calls; would be blocked until 2025-11-25 17:00 UTC (kill switch in shadow mode).",
            id="a shadow switch",
        ),
        pytest.param(
            spike(pane="1d"), "tenant=acme",
            {"value": 5.23, "threshold": 3.0, "usd": 1234.5, "excess_nanousd_per_hour": 310 * USD},
            "Tenant acme costs 5.23 times its usual day (limit 3 times) since 15:59 UTC; $1,234.50 above normal so "
            "far, now $310.00 an hour; driver: more calls; this rule stops nothing.",
            id="a spike",
        ),
        pytest.param(
            spike(axis="global"), "", {"value": 4e12, "threshold": 3.0, "usd": 7.0, "driver": "tier"},
            "All traffic costs more than 1,000 times its usual hour (limit 3 times) since 15:59 UTC; $7.00 above "
            "normal so far; driver: dearer models; this rule stops nothing.",
            id="a spike from nothing, everywhere",
        ),
        pytest.param(
            price("off_book"), "model=gpt", {"value": -0.2, "threshold": 0.02, "driver": "price", "usd": 0.0},
            "Model gpt is billed 20 % below the price book (limit 2 %) since 15:59 UTC; driver: price; this rule stops "
            "nothing.",
            id="a price below the book",
        ),
        pytest.param(
            price("unpriced_calls"), "model=gpt", {"value": 1.0, "threshold": 0.05, "driver": "price", "usd": 0.0},
            "Model gpt has no known price for 100 % of its calls (limit 5 %) since 15:59 UTC; driver: price; this rule "
            "stops nothing.",
            id="a model without a price",
        ),
        pytest.param(
            SILENCE, "tenant=acme",
            {"value": 139.6, "threshold": 37.5, "usd": 0.0, "drivers": (DriverPart("volume", -USD),),
             "contributors": (part("feature", "chat", 0.9, 0.9),)},
            "Tenant acme has made no calls (about 140 are usual, limit 38) since 15:59 UTC; they usually cost $1.00 in "
            "that time; most of it feature chat (90 %); this rule stops nothing.",
            id="a silence",
        ),
        pytest.param(
            NEW, "model=gpt-9",
            {"value": 12.0 * USD, "threshold": 5.0 * USD, "usd": 12.0, "excess_nanousd_per_hour": 60 * USD,
             "contributors": (part("tenant", "acme", 9.0, 0.75),)},
            "Model gpt-9 is new and has spent $12.00 (limit $5.00) since 15:59 UTC; now $60.00 an hour; largest part tenant "
            "acme ($9.00, 75 %); this rule stops nothing.",
            id="a new model",
        ),
        pytest.param(
            PROMPTS, "feature=chat", {"value": 36_000.0, "threshold": 32_000.0, "driver": "prompt", "usd": 10.8},
            "Feature chat sends 36,000 tokens of input a call (limit 32,000 tokens) since 15:59 UTC; $10.80 above normal "
            "so far; driver: longer prompts; this rule stops nothing.",
            id="a prompt budget",
        ),
        pytest.param(
            drift("prompt"), "feature=chat", {"value": 3120.4, "threshold": 1365.0, "driver": "prompt", "usd": 12.4},
            "Feature chat: prompt length is 3,120 tokens (limit 1,365 tokens) since 15:59 UTC; $12.40 above normal "
            "so far; driver: longer prompts; this rule stops nothing.",
            id="a prompt that grew",
        ),
        pytest.param(
            drift("cache", "prompt_template"), "prompt_template=support-v2",
            {"value": 0.021, "threshold": 0.612, "driver": "cache", "usd": 3.0},
            "Prompt template support-v2: cache hit rate is 2.1 % (limit 61.2 %) since 15:59 UTC; $3.00 above normal "
            "so far; driver: lost cache hits; this rule stops nothing.",
            id="a cache that collapsed",
        ),
        pytest.param(
            killer(axis="user"), "user=%1B%5B31m" + "x" * 100, {},
            "User ?[31m" + "x" * 54 + "… has spent $11.00, over its 1h cap of $10.00 since 15:59 UTC; $1.00 above it so "
            "far; driver: more calls; blocked at the gateways until 16:10 UTC.",
            id="a value that would colour a terminal",
        ),
    ],
)  # fmt: skip
def test_what_a_firing_alert_says(rule, scope, fields, expected) -> None:
    assert expected == sentence(rule, scope, **fields)


def test_what_a_resolved_alert_says() -> None:
    story = Story([spike()])
    story.verdict("spike", "tenant=acme", usd=4.2)
    story.wait(4000)
    story.verdict("spike", "tenant=acme", "clear", usd=0.0)

    assert (
        story.alerts()[-1].summary
    ) == "Tenant acme is back to normal after 66 min (rule spike); it cost $4.20 above normal."


@pytest.mark.parametrize(
    ("days", "expected"),
    [(1, "makes calls again after 24 h 0 min"), (7, "makes no calls any more: silent for 168 h 0 min")],
)
def test_what_a_resolved_silence_says(days: int, expected: str) -> None:
    story = Story([SILENCE])
    since_ms = START_MS - 600_000
    story.verdict("silence", "tenant=acme", starts_ms=since_ms, usd=0.0)
    story.wait(days * 86_400 - 600)
    story.verdict("silence", "tenant=acme", "clear", starts_ms=since_ms, usd=0.0)

    assert story.alerts()[-1].summary == f"Tenant acme {expected} (rule silence)."


def test_what_is_new_no_more_says_what_it_has_spent() -> None:
    story = Story([NEW])
    story.verdict("new", "model=gpt-9", usd=12.0)
    story.wait(3600)
    story.verdict("new", "model=gpt-9", "clear")

    assert (
        story.alerts()[-1].summary
    ) == "Model gpt-9 is new no more: known for 60 min, it has spent at least $12.00 (rule new)."


def test_what_an_alert_says_that_did_not_fire() -> None:
    story = Story([spike(for_seconds=60)])
    story.verdict("spike", "tenant=acme", usd=4.2)
    story.verdict("spike", "tenant=acme", "clear", usd=0.0)

    assert (
        story.alerts()[-1].summary
        == "Tenant acme: rule spike was close to firing, and cleared before it did."
    )


def test_the_message_carries_exact_dollars_and_the_unit_of_its_value() -> None:
    story = Story([killer(runbook="https://example.org/caps")])
    (alert,) = story.verdict(
        "killer", "tenant=acme", usd=2.000000001, drivers=PROMPT, contributors=WHO, examples=("e1",),
        excess_nanousd_per_hour=1,
    ).alerts  # fmt: skip

    assert (alert.excess_usd, alert.excess_usd_per_hour) == ("2.000000001", "0.000000001")
    assert (alert.value, alert.threshold, alert.unit) == (12.000000001, 10.0, "usd")
    assert [(part.driver, part.usd) for part in alert.drivers] == [("prompt", "8.2"), ("volume", "0.8")]
    assert (
        alert.contributors[1].axis, alert.contributors[1].value, alert.contributors[1].usd, alert.contributors[1].share,
    ) == ("tenant", "acme", "1.9", 0.82)  # fmt: skip
    assert (alert.examples, alert.runbook, alert.action) == (("e1",), "https://example.org/caps", "block")


def test_an_unknown_driver_of_a_verdict_falls_back_to_the_rules() -> None:
    story = Story([killer()])

    assert [a.driver for a in story.verdict("killer", "tenant=acme", driver="gremlins").alerts] == ["volume"]


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(messages).failed == 0
