"""What the person reads: spend in columns, the ledger's differences in words, and a summary that hides nothing."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tokenfuse.demo.checks import Checklist, Step
from tokenfuse.demo.ledger import Ledger
from tokenfuse.demo.screen import Screen
from tokenfuse.demo.spend import spark, usd

CALL = {
    "id": "1", "time": 0, "tenant": "acme", "feature": "chat", "model": "gpt-4o",
    "input_tokens": 1000, "output_tokens": 0, "run_id": "r",
}  # fmt: skip


@pytest.fixture
def shown() -> tuple[Screen, Checklist, io.StringIO]:
    text, checklist = io.StringIO(), Checklist()
    return Screen(Console(file=text, width=100), checklist), checklist, text


def test_the_summary_names_every_step_seen_or_not(shown):
    screen, checklist, text = shown
    checklist.tick(Step.REFUSED, "402 after 0.40 s")
    screen.summary()

    said = text.getvalue()
    assert said.count("✔") == 1
    assert said.count("✘") == said.count("did not happen") == len(Step) - 1
    assert "402 after 0.40 s" in said


def test_the_first_sight_of_a_step_counts(shown):
    _, checklist, _ = shown
    checklist.tick(Step.ENGAGED, "first")
    checklist.tick(Step.ENGAGED, "second")

    assert checklist.seen(Step.ENGAGED).detail == "first"
    assert Step.ENGAGED not in checklist.missing()


def test_what_notify_prints_is_shown_and_remembered(shown):
    screen, _, text = shown
    screen.notice_console().print("PAGE: rule run-cap")

    assert "PAGE: rule run-cap" in text.getvalue()
    assert "PAGE: rule run-cap" in screen.notices.text


def test_the_ledger_adds_calls_and_nano_dollars_by_axis_value():
    ledger = Ledger()
    ledger.add(CALL, 1_764_000_000_000)
    ledger.add({**CALL, "id": "2", "tenant": "globex", "cost_usd": "0.5"}, 1_764_000_000_000)

    assert ledger.calls() == 2
    assert ledger.nanousd("tenant", "acme") == 2_500_000
    assert ledger.sums["feature", "chat"] == (2, 502_500_000)
    assert ledger.nanousd("user", "nobody") == 0


@pytest.mark.parametrize(
    ("totals", "said"),
    [
        ({}, "found 0, 0 n$"),
        ({("tenant", "acme"): (1, 2_500_001)}, "published 1 calls, 2500000 n$; found 1, 2500001 n$"),
        ({("tenant", "other"): (1, 1)}, "tenant other: published 0 calls, 0 n$; found 1, 1 n$"),
    ],
)
def test_a_single_nano_dollar_and_a_single_call_are_a_difference(totals, said):
    ledger = Ledger()
    ledger.add(CALL, 1_764_000_000_000)

    assert said in "\n".join(ledger.differences(totals))
    assert list(ledger.differences(dict(ledger.sums))) == []


def test_money_and_bars_are_readable_at_every_size():
    assert [usd(n) for n in (0, 10**5, 4_200_000, 1_500_000_000)] == ["-", "<$0.001", "$0.004", "$1.50"]
    assert spark((0, 0)) == "  "
    assert spark((0, 1, 8, 4)) == " ▁█▄"
