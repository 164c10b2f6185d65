"""Spikes: an hour or a day against the mean before it, on the open pane."""

from __future__ import annotations

from typing import Any

from tests.support.calls import T0_MS, BlockMaker, call

from tokenfuse.contracts.block import FORMAT, Control
from tokenfuse.contracts.ruleset import CapRule, RuleSet, SpikeRule, encode_ruleset
from tokenfuse.contracts.signal import Verdict
from tokenfuse.decide.agent import AgentConfig, AgentCore

HOUR_S = 3600
START_S = HOUR_S - T0_MS // 1000 % HOUR_S
"""Seconds from T0 to the next full hour."""
CAP_7D = CapRule(
    id="cap", kind="cap", driver="volume", maturity="stable", axis="tenant", severity="page", mode="warn",
    window="7d", limit_nanousd=10**15,
)  # fmt: skip


def spike(**changes: Any) -> SpikeRule:
    fields: dict[str, Any] = {
        "id": "spike", "kind": "spike", "driver": "volume", "maturity": "stable", "axis": "tenant", "severity": "page",
        "mode": "warn", "pane": "1h", "factor": 3.0, "history_panes": 168, "history_panes_min": 3, "floor_nanousd": 1,
    }  # fmt: skip
    return SpikeRule(**(fields | changes))


class Hours:
    """A core that is told what each tenant spends; verdicts as `state value` of one hour's calls."""

    def __init__(self, *rules: Any) -> None:
        self.core = AgentCore(AgentConfig(), 0)
        self._maker = BlockMaker()
        self._number = 0
        self.install(*rules)

    def _apply(self, block: Any) -> list[Verdict]:
        self._number += 1
        return [v for v in self.core.apply(self._number, block).signals if isinstance(v, Verdict)]

    def install(self, *rules: Any) -> None:
        self._apply(Control(FORMAT, "rules", self._number, encode_ruleset(RuleSet(id="r", rules=rules))))

    def spend(self, hours: float, nanousd: int, tenant: str = "acme") -> list[Verdict]:
        """At so many hours after the first full one."""
        at = call(self._number, START_S + hours * HOUR_S, tenant=tenant, cost_nanousd=nanousd)
        return self._apply(self._maker.blocks([at])[0])

    def pass_time(self, hours: float) -> list[Verdict]:
        found = []
        for _ in range(8):  # a silent source partition is idle after half a minute of ticks
            found += self._apply(self._maker.tick(START_S + hours * HOUR_S))
            hours += 10 / HOUR_S
        return found


def test_a_young_scopes_mean_is_over_the_hours_that_it_has_existed() -> None:
    hours = Hours(spike())
    for hour in range(4):
        assert hours.spend(hour, 100) == []
    found = hours.spend(4, 301)
    assert [(v.state, v.value, v.excess_nanousd) for v in found] == [("breach", 3.01, 201)]


def test_a_scope_younger_than_the_rule_asks_for_is_not_judged() -> None:
    hours = Hours(spike())
    for hour in range(3):
        assert hours.spend(hour, 10 ** (hour * 3)) == []


def test_a_new_scope_in_a_block_with_a_late_call_of_another_is_as_young_as_it_is() -> None:
    """It had the age of the block's oldest call: no history, so every first call was a spike."""
    hours = Hours(spike())
    hours.spend(0, 100)
    late = call(901, START_S - 50 * HOUR_S, tenant="acme", cost_nanousd=1)
    new = call(902, START_S + HOUR_S, tenant="new", cost_nanousd=10**9)
    assert hours._apply(hours._maker.blocks([late, new])[0]) == []


def test_a_spike_stands_through_the_change_of_the_hour_and_clears_when_a_whole_hour_was_quiet() -> None:
    hours = Hours(spike())
    for hour in range(10):
        hours.spend(hour, 100)
    assert [v.state for v in hours.spend(10.9, 1000)] == ["breach"]
    assert [v.state for v in hours.spend(11.1, 1)] == []
    assert [v.state for v in hours.spend(11.9, 1)] == []
    assert [v.state for v in hours.spend(12.1, 1)] == ["clear"]


def test_another_rule_that_reads_the_same_hours_changes_no_verdict() -> None:
    """A cap over seven days ends with the open hour, a spike's week before it."""
    told = []
    for rules in ([spike()], [CAP_7D, spike()], [spike(), CAP_7D]):
        hours = Hours(*rules)
        found = []
        for hour in range(12):
            found += hours.spend(hour, 900 if hour == 8 else 100)
        told.append([(v.rule, v.state, v.value) for v in found if v.rule == "spike"])
    assert told[0] == [("spike", "breach", 9.0), ("spike", "clear", 100 / 180)]
    assert told[1:] == [told[0], told[0]]


def test_the_daily_sibling_judges_days() -> None:
    hours = Hours(spike(pane="1d", history_panes=7))
    midday = 12 - T0_MS // 1000 % 86_400 // HOUR_S
    for day in range(8):
        assert hours.spend(midday + day * 24, 100) == []
    assert hours.spend(midday + 8 * 24, 250) == []
    assert [v.state for v in hours.spend(midday + 8 * 24 + 3, 51)] == ["breach"]


def test_a_spike_of_a_scope_that_the_rule_no_longer_names_is_cleared() -> None:
    hours = Hours(spike())
    for hour in range(5):
        hours.spend(hour, 100)
    assert [v.state for v in hours.spend(5, 1000)] == ["breach"]
    hours.install(spike(match="bolt"))
    assert [v.state for v in hours.pass_time(5.2)] == ["clear"]
    assert not hours.core.panel.standings.of(spike())


def test_a_correction_within_the_open_hour_clears_its_spike() -> None:
    hours = Hours(spike())
    for hour in range(5):
        hours.spend(hour, 100)
    assert [v.state for v in hours.spend(5, 1000)] == ["breach"]
    assert [v.state for v in hours.spend(5.1, -950)] == ["clear"]
