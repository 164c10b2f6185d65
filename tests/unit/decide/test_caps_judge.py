"""Caps to the nano-dollar: which limit, which window, when they breach, clear and are told again."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from tests.support.calls import T0_MS, BlockMaker, call

from tokenfuse.contracts.block import FORMAT, Control
from tokenfuse.contracts.ruleset import CapRule, Response, RuleSet, encode_ruleset
from tokenfuse.contracts.signal import Verdict
from tokenfuse.decide import standings
from tokenfuse.decide.agent import AgentConfig, AgentCore
from tokenfuse.ingest.call import Call

DAY_S = 86_400
MIDNIGHT_S = 86_400 - T0_MS // 1000 % 86_400
"""Seconds from T0 to the next UTC midnight."""


def cap(**changes: Any) -> CapRule:
    fields: dict[str, Any] = {
        "id": "cap", "kind": "cap", "driver": "volume", "maturity": "stable", "axis": "tenant", "severity": "page",
        "mode": "enforce", "window": "1h", "limit_nanousd": 10, "response": Response(action="block", ttl_seconds=60),
    }  # fmt: skip
    return CapRule(**(fields | changes))


class Spend:
    """A core under a rule set; what it says of the cap."""

    def __init__(self, *rules: CapRule, **changes: Any) -> None:
        self.core = AgentCore(AgentConfig(), 0)
        self._maker = BlockMaker()
        self._offset = 0
        self._number = 0
        self.install(*rules, **changes)

    def _apply(self, block: Any) -> list[Verdict]:
        self._offset += 1
        return [v for v in self.core.apply(self._offset, block).signals if isinstance(v, Verdict)]

    def install(self, *rules: CapRule, **changes: Any) -> list[Verdict]:
        ruleset = RuleSet(id="r", rules=rules or (cap(),), **changes)
        return self._apply(Control(FORMAT, "rules", self._offset, encode_ruleset(ruleset)))

    def calls(self, *calls: Call) -> list[str]:
        return [f"{v.state} {v.scope} {v.value:.0f}/{v.threshold:.0f}" for v in self.verdicts(*calls)]

    def verdicts(self, *calls: Call) -> list[Verdict]:
        return self._apply(self._maker.blocks(list(calls))[0])

    def spend(self, at_s: float, nanousd: int, **changes: Any) -> list[str]:
        self._number += 1
        return self.calls(call(self._number, at_s, cost_nanousd=nanousd, **changes))

    def ticks(self, start_s: int, end_s: int, step_s: int = 10) -> list[str]:
        told = []
        for at in range(start_s, end_s, step_s):
            told += [f"{v.state} {v.scope}" for v in self._apply(self._maker.tick(at))]
        return told


@pytest.mark.parametrize(
    ("limits", "tenant", "limit"),
    [({"acme": 3}, "acme", 3), ({"acme": 3}, "bolt", 10), ({"acme": 0}, "acme", 0)],
)
def test_a_scopes_own_limit_comes_before_the_rules(limits: dict[str, int], tenant: str, limit: int) -> None:
    spend = Spend(cap(limits=limits))
    assert spend.spend(0, limit, tenant=tenant) == []
    assert spend.spend(1, 1, tenant=tenant) == [f"breach tenant={tenant} {limit + 1}/{limit}"]


@pytest.mark.parametrize("rule", [cap(match="bo*"), cap(limit_nanousd=None, limits={"bolt": 5})])
def test_a_scope_without_a_limit_never_breaches(rule: CapRule) -> None:
    spend = Spend(rule)
    assert spend.spend(0, 10**15, tenant="acme") == []
    assert len(spend.spend(1, 11, tenant="bolt")) == 1


def test_free_calls_pass_a_limit_of_zero() -> None:
    spend = Spend(cap(limit_nanousd=0))
    assert spend.spend(0, 0) == []
    assert spend.spend(1, 1) == ["breach tenant=acme 1/0"]


@pytest.mark.parametrize(
    ("axis", "value"), [("user", "ann"), ("run_id", "run-1"), ("global", ""), ("model", "gpt-4o")]
)
def test_every_axis_can_be_capped(axis: str, value: str) -> None:
    spend = Spend(cap(axis=axis, window="24h"))
    told = spend.spend(0, 11, run_id="run-1")
    assert told == [f"breach {axis}={value} 11/10" if value else "breach  11/10"]


def test_a_late_call_counts_in_a_window_that_still_holds_it_and_not_in_one_that_left_it() -> None:
    spend = Spend()
    assert spend.spend(7200, 8) == []
    assert spend.spend(7200 - 3700, 100) == []
    assert spend.spend(7200 - 1800, 3) == ["breach tenant=acme 11/10"]


def test_a_correction_clears_what_it_made_right() -> None:
    """A negative row takes the old cost out of its own pane."""
    spend = Spend()
    assert spend.spend(0, 25) == ["breach tenant=acme 25/10"]
    assert spend.spend(5, -20) == ["clear tenant=acme 5/10"]
    assert spend.spend(6, 6) == ["breach tenant=acme 11/10"]


@pytest.mark.parametrize(
    ("zone", "midnight_s"), [("UTC", MIDNIGHT_S), ("Asia/Kathmandu", MIDNIGHT_S - 20_700)]
)
def test_a_day_ends_at_local_midnight_and_the_next_one_breaches_again(zone: str, midnight_s: int) -> None:
    midnight_s %= DAY_S
    spend = Spend(cap(window="day"), time_zones={"acme": zone})
    found = spend.verdicts(call(1, midnight_s - 600, cost_nanousd=11))
    assert [(v.state, v.until_ms) for v in found] == [("breach", T0_MS + midnight_s * 1000)]
    told = spend.ticks(midnight_s - 600, midnight_s + 60)
    assert told.count("clear tenant=acme") == 1
    assert told[-1] == "clear tenant=acme"
    assert spend.spend(midnight_s + 60, 10) == []
    assert spend.spend(midnight_s + 61, 1) == ["breach tenant=acme 11/10"]


def test_a_call_of_yesterday_is_not_todays_money() -> None:
    spend = Spend(cap(window="day"))
    assert spend.spend(MIDNIGHT_S + 100, 9) == []
    assert spend.spend(MIDNIGHT_S - 100, 50) == []
    assert spend.spend(MIDNIGHT_S + 101, 2) == ["breach tenant=acme 11/10"]


def test_a_standing_breach_is_told_again_once_a_minute_and_later_less_often() -> None:
    spend = Spend(cap(window="24h"))
    told = [len(spend.spend(second, 11)) for second in range(0, 7200, 10)]
    assert told[0] == 1
    assert sum(told[1:360]) <= 40
    gaps = [i for i, n in enumerate(told) if n]
    assert min(b - a for a, b in pairwise(gaps)) >= 6
    assert gaps[-1] - gaps[-2] > 30


def test_a_rule_set_that_raises_the_limit_clears_and_one_that_lowers_it_breaches() -> None:
    spend = Spend()
    assert len(spend.spend(0, 20)) == 1
    spend.install(cap(limit_nanousd=30))
    assert spend.spend(10, 1) == ["clear tenant=acme 21/30"]
    spend.install(cap(limit_nanousd=5))
    assert spend.spend(20, 1) == ["breach tenant=acme 22/5"]


def test_a_rule_that_left_and_came_back_counts_its_window_anew() -> None:
    """Its rolling sum did not follow while no rule asked for it."""
    spend = Spend()
    spend.spend(0, 9)
    spend.spend(3000, 1)
    spend.install(cap(id="other", window="6h", limit_nanousd=10**12))
    spend.ticks(3010, 4500, 10)
    spend.install()
    assert spend.spend(4500, 9) == []
    assert spend.spend(4501, 1) == ["breach tenant=acme 11/10"]


def test_a_month_goes_on_when_its_time_zone_is_corrected() -> None:
    spend = Spend(cap(window="month"))
    assert spend.spend(0, 8) == []
    spend.install(cap(window="month"), time_zones={"acme": "America/New_York"})
    assert spend.spend(10, 3) == ["breach tenant=acme 11/10"]


def test_a_breach_of_a_scope_that_was_evicted_is_cleared() -> None:
    """An idle run is forgotten before its month ends."""
    spend = Spend(cap(axis="run_id", window="month"))
    assert len(spend.spend(0, 11, run_id="run-1")) == 1
    assert spend.ticks(10, 49 * 3600, 600)[-1] == "clear run_id=run-1"
    assert spend.core.state.tables["run_id"].scopes.id_of("run-1") is None


def test_more_breaches_than_may_stand_are_counted_and_those_that_stand_still_clear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(standings, "STANDING_MAX", 3)
    spend = Spend()
    told = spend.calls(*(call(n, 0, tenant=f"t{n}", cost_nanousd=11) for n in range(5)))
    assert len(told) == 3
    assert spend.core.panel.standings.refused == 2
    assert spend.calls(call(9, 10, tenant="t0", cost_nanousd=-11)) == ["clear tenant=t0 0/10"]
    assert spend.calls(call(10, 20, tenant="t4", cost_nanousd=1)) == ["breach tenant=t4 12/10"]


def test_calls_far_out_of_order_never_move_the_window_back() -> None:
    spend = Spend()
    for at in (7200, 0, 3601, 7199, 100, 3700):
        told = spend.spend(at, 3)
    assert told == []
    assert spend.spend(7201, 2) == ["breach tenant=acme 11/10"]


def test_an_event_ten_minutes_ahead_moves_a_rolling_window_by_seconds_only() -> None:
    """The clock of one producer must not push the others' money out of a window of five minutes."""
    spend = Spend(cap(window="5m"))
    assert spend.spend(0, 10) == []
    ahead = BlockMaker(source=1).blocks([call(99, 600, tenant="skewed", cost_nanousd=1)], record_ms=T0_MS)[0]
    assert spend._apply(ahead) == []
    assert spend.spend(1, 1) == ["breach tenant=acme 11/10"]
