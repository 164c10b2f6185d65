"""Standing verdicts: told once, told again ever less often, bounded, and the same after a restart."""

from __future__ import annotations

import msgspec
import pytest

from tokenfuse.contracts.ruleset import CapRule
from tokenfuse.contracts.signal import DriverPart
from tokenfuse.decide import standings
from tokenfuse.decide.evidence import Evidence
from tokenfuse.decide.standings import UPDATE_MS, Finding, Standings
from tokenfuse.windows.scopes import Scopes

RULE = CapRule(
    id="cap", kind="cap", driver="volume", maturity="stable", axis="tenant", severity="page", mode="warn",
    window="1h", limit_nanousd=1,
)  # fmt: skip
FOUND = Evidence("prompt", (DriverPart("prompt", 5),), (), ("call-1",))


def finding(at_ms: int, looked_up: list[int] | None = None) -> Finding:
    def evidence() -> Evidence:
        if looked_up is not None:
            looked_up.append(at_ms)
        return FOUND

    return Finding(2.0, 1.0, at_ms, at_ms, 7, lambda: 9, evidence)


def test_evidence_is_looked_up_only_for_what_is_told() -> None:
    kept, looked_up = Standings(), []
    for at_ms in range(0, UPDATE_MS + 1, 10_000):
        kept.found(RULE, "acme", finding(at_ms, looked_up), at_ms)
    assert looked_up == [0, UPDATE_MS]
    assert [(v.state, v.at_ms, v.starts_ms) for v in kept.take()] == [
        ("breach", 0, 0),
        ("update", UPDATE_MS, 0),
    ]
    assert kept.take() == []


def test_a_verdict_that_has_stood_for_a_day_is_told_again_every_few_hours() -> None:
    kept, now_ms, told = Standings(), 0, []
    while now_ms <= 48 * 3_600_000:
        if kept.due(RULE, "acme", now_ms):
            kept.found(RULE, "acme", finding(now_ms), now_ms)
            told.append(now_ms)
        now_ms += 10_000
    assert 40 < len(told) < 100
    assert 2 * 3_600_000 < told[-1] - told[-2] < 6 * 3_600_000


def test_what_cleared_can_breach_again_and_a_clear_is_never_before_its_start() -> None:
    kept = Standings()
    kept.found(RULE, "acme", finding(5000), 5000)
    kept.cleared(RULE, "acme", 1000, 0.0, 1.0)
    kept.cleared(RULE, "acme", 9000, 0.0, 1.0)
    kept.found(RULE, "acme", finding(9000), 9000)
    assert [(v.state, v.at_ms, v.starts_ms) for v in kept.take()] == [
        ("breach", 5000, 5000), ("clear", 5000, 5000), ("breach", 9000, 9000),
    ]  # fmt: skip


def test_a_thousand_breaches_in_one_block_look_up_the_evidence_of_the_first_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others have theirs when they are told again."""
    monkeypatch.setattr(standings, "EVIDENCE_MAX", 3)
    kept = Standings()
    for number in range(5):
        kept.found(RULE, f"t{number}", finding(0), 0)
    assert [(v.driver, len(v.drivers)) for v in kept.take()] == [("prompt", 1)] * 3 + [("volume", 0)] * 2
    kept.found(RULE, "t4", finding(UPDATE_MS), UPDATE_MS)
    assert [(v.state, v.driver) for v in kept.take()] == [("update", "prompt")]


def test_a_finding_beyond_the_bound_is_counted_every_time_and_never_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(standings, "STANDING_MAX", 1)
    kept = Standings()
    for value in ("a", "b", "b", "a"):
        kept.found(RULE, value, finding(0), 0)
    assert (len(kept.take()), kept.refused) == (1, 2)


def test_what_stands_of_evicted_scopes_is_cleared() -> None:
    kept, scopes = Standings(), Scopes("~other/0", 10)
    kept.found(RULE, "gone", finding(0), 0)
    kept.take()
    assert kept.ids_of(RULE, scopes, 70_000).tolist() == []
    assert [(v.state, v.scope, v.at_ms) for v in kept.take()] == [("clear", "tenant=gone", 70_000)]


def test_standing_verdicts_survive_a_restart_as_they_were() -> None:
    kept, again = Standings(), Standings()
    for value in ("b", "a & c", ""):
        kept.found(RULE, value, finding(0), 0)
    kept.take()
    assert kept.changed
    row = msgspec.msgpack.decode(msgspec.msgpack.encode(kept.dump()))
    assert not kept.changed
    again.load(row)
    assert again.dump() == row
    for each in (kept, again):
        each.found(RULE, "b", finding(UPDATE_MS), UPDATE_MS)
        each.cleared(RULE, "", UPDATE_MS, 0.0, 1.0)
    assert again.take() == kept.take()
    kept.keep_only({"other"})
    assert kept.of(RULE) == {}
    assert kept.changed
