"""An hour's backlog of steady traffic, worked off at once: event time rules, so nobody is alarmed; a real spike still is.

The whole installation of pure cores, as the topics wire them: ingest's cutter, agents, decider. Under arrival time the hour would
fall into one minute: six times the limit of the cap, and sixty times the usual pane.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tokenfuse.contracts.block import TICK_FORMAT, Tick, decode_block
from tokenfuse.decide.agent import AgentConfig
from tokenfuse.ingest.record import Record
from tokenfuse.rules.loader import load
from tokenfuse.runtime.ingest.recipe import Recipe
from tokenfuse.runtime.pipeline import Pipeline
from tokenfuse.runtime.settings import Settings

SHIPPED = Path(__file__).parents[2] / "rules"
RULES = """
rules:
  - id: ten-minutes
    kind: cap
    title: Twice the usual ten minutes
    maturity: stable
    axis: tenant
    window: 10m
    limit_usd: "0.30"
    severity: page
    mode: warn
    runbook: docs/runbooks.md
  - id: hour
    kind: spike
    title: Three times the usual hour
    maturity: stable
    axis: tenant
    pane: 1h
    factor: 3.0
    history_panes: 168
    history_panes_min: 4
    floor_usd: "0.05"
    severity: ticket
    mode: warn
    runbook: docs/runbooks.md
"""

NOW_S = 1_790_000_000 // 3600 * 3600
HOUR_S, HISTORY_S = 3600, 6 * 3600
EVERY_S = 4
SLICE_S = 900
TENANTS, FEATURES, MODELS = 12, 5, ("gpt-4o", "gpt-4o-mini")


def steady(start_s: int, end_s: int, *, spike: bool = False) -> list[tuple[int, bytes]]:
    """A call every four seconds, about 14 cents a tenant in ten minutes; with `spike` one tenant's last ten cost forty times."""
    events = []
    for number, at in enumerate(range(start_s, end_s, EVERY_S)):
        tenant = number % TENANTS
        dear = 40 if spike and tenant == 3 and at >= end_s - 600 else 1
        event = {
            "id": f"call-{at}", "time": at, "tenant": f"tenant-{tenant}", "feature": f"feature-{number % FEATURES}",
            "model": MODELS[number % 2], "user": f"user-{number % 97}", "input_tokens": 800 + number * 7 % 400,
            "output_tokens": 100 + number * 3 % 50, "cost_usd": f"{0.011 * dear:.3f}",
        }  # fmt: skip
        events.append((at, json.dumps(event).encode()))
    return events


class Installation:
    """Cutter, agents and decider; what they alarm."""

    def __init__(self, rules: Path) -> None:
        self._cutter = Recipe(Settings(deltas_partitions=2)).cutter(0, 0)
        self.pipeline = Pipeline(AgentConfig(totals_only=True), 2)
        self.alerts: list = []
        self.pipeline.on_alert = self.alerts.append
        self.pipeline.install(load(rules), (NOW_S - HISTORY_S - HOUR_S) * 1000)

    def read(self, events: list[tuple[int, bytes]], appended_s: float | None, now_s: float) -> None:
        """A slice. appended_s: the record clock of all; None: each was appended when it happened."""
        a = self._cutter.position
        records = [
            Record(a + n, int((appended_s or at) * 1000), None, value) for n, (at, value) in enumerate(events)
        ]
        result = self._cutter.cut(self._cutter.draft(records), {})
        assert not result.letters
        self._cutter.advance(result)
        self.pipeline.blocks([decode_block(block) for block in result.blocks])
        self.tick(now_s)

    def tick(self, now_s: float) -> None:
        """Ingest's own clock."""
        self.pipeline.blocks([Tick(TICK_FORMAT, 0, self._cutter.position, int(now_s * 1000))] * 2)


def worked_off(rules: Path, *, all_at_once: bool, spike: bool) -> list:
    """Six hours live, an hour without ingest, then the hour's events in slices of half a second, and two minutes after."""
    installation = Installation(rules)
    started_s = NOW_S - HISTORY_S - HOUR_S
    for at in range(started_s, NOW_S - HOUR_S, SLICE_S):
        installation.read(steady(at, at + SLICE_S), None, at + SLICE_S)
    assert installation.alerts == [], "steady traffic is no news"
    backlog = steady(NOW_S - HOUR_S, NOW_S, spike=spike)
    for number, first in enumerate(range(0, len(backlog), 100)):
        now_s = NOW_S + number / 2
        installation.read(backlog[first : first + 100], now_s if all_at_once else None, now_s)
    for second in range(120):
        installation.tick(NOW_S + 10 + second)
    return installation.alerts


@pytest.fixture
def rules(tmp_path) -> Path:
    (tmp_path / "own.yaml").write_text(RULES)
    shutil.copy(SHIPPED / "drift.yaml", tmp_path / "drift.yaml")
    return tmp_path


@pytest.mark.parametrize("all_at_once", [True, False], ids=["appended now", "appended as it happened"])
def test_an_hours_backlog_of_steady_traffic_raises_no_alert(rules, all_at_once):
    alerts = worked_off(rules, all_at_once=all_at_once, spike=False)
    assert [(alert.rule, alert.scope, alert.summary) for alert in alerts] == []


def test_a_spike_inside_the_backlog_is_found_in_its_scope(rules):
    alerts = worked_off(rules, all_at_once=True, spike=True)
    fired = {(alert.rule, alert.scope.get("tenant")) for alert in alerts if alert.state == "firing"}
    assert ("ten-minutes", "tenant-3") in fired
    assert {tenant for rule, tenant in fired if rule in {"ten-minutes", "hour"}} == {"tenant-3"}
