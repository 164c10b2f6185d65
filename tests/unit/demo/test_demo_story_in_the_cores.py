"""The demo's traffic through the pure cores: exactly the pages that the demo promises, without a broker or a clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from tokenfuse.contracts.alert import Alert
from tokenfuse.contracts.block import FORMAT, DeltaBlock
from tokenfuse.decide.agent import AgentConfig
from tokenfuse.decide.decider.outputs import SwitchChange
from tokenfuse.demo.ledger import Ledger
from tokenfuse.demo.story import RUN_CAP_NANOUSD
from tokenfuse.demo.traces import packaged
from tokenfuse.demo.traffic import HISTORY_S, HISTORY_STEP_S, RECENT_S, Timed, Traffic, runaway
from tokenfuse.ingest.aggregate import Aggregator
from tokenfuse.ingest.decode import Decoder
from tokenfuse.pricing.book import PriceBook
from tokenfuse.rules.loader import load
from tokenfuse.runtime.pipeline import Pipeline

NOW_MS = 1_764_000_000_000
LAPSE_MS = 30_000
RUN = "run-1"


@dataclass
class Cores:
    """Ingest's decoding and the pipeline behind it, with a wall clock that the test turns."""

    wall_ms: int
    alerts: list[Alert] = field(default_factory=list)
    switches: list[SwitchChange] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pipeline = Pipeline(AgentConfig())
        self._pipeline.on_alert = self.alerts.append
        self._pipeline.on_switch = self.switches.append
        self._pipeline.install(load(Path(__file__).parents[3] / "rules"), self.wall_ms)
        self._decoder = Decoder((), 0, 0, PriceBook())
        self._aggregator = Aggregator((), 1)
        self._position = 0

    def put(self, timed: list[Timed], *, history: bool = False) -> None:
        values = [msgspec.json.encode(each.event) for each in timed]
        decoded = [self._decoder.decode(value, (), None) for value in values]
        calls = [call for result in decoded for call in result]
        a, self._position = self._position, self._position + len(calls)
        newest_ms = max(call.time_ms for call in calls)
        rows = self._aggregator.rows(calls)[0]
        block = DeltaBlock(
            FORMAT,
            0,
            a,
            self._position,
            self.wall_ms,
            newest_ms,
            history=history,
            price_version="",
            rows=rows,
        )
        self._pipeline.blocks([block])

    def wait(self, ms: int) -> None:
        for _ in range(0, ms, 1000):
            self.wall_ms += 1000
            self._pipeline.tick(0, self._position, self.wall_ms)

    def told(self) -> list[Alert]:
        newest = {alert.fingerprint: alert for alert in self.alerts}
        return [a for a in newest.values() if a.state == "firing" and a.inhibited_by is None]


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic(packaged(), NOW_MS, 20251103)


@pytest.fixture(scope="module")
def cores(traffic) -> Cores:
    """After the history and the three recent hours."""
    cores = Cores(NOW_MS)
    for start in range(0, len(traffic.history), 8000):
        cores.put(traffic.history[start : start + 8000], history=True)
    assert cores.alerts == []
    place, steps = 0, 120
    for step in range(1, steps + 1):
        until_ms = NOW_MS - RECENT_S * 1000 + RECENT_S * 1000 * step // steps
        end = next(
            (i for i in range(place, len(traffic.recent)) if traffic.recent[i].at_ms > until_ms),
            len(traffic.recent),
        )
        cores.wall_ms += LAPSE_MS // steps
        if end > place:
            cores.put(traffic.recent[place:end])
        place = end
        if step % 4 == 0:
            cores.wait(1000)
    cores.wait(12_000)
    return cores


def test_history_is_two_weeks_in_hourly_batches_and_the_recent_hours_follow(traffic):
    start_ms = NOW_MS - (HISTORY_S + RECENT_S) * 1000

    assert {(each.at_ms - start_ms) % (HISTORY_STEP_S * 1000) for each in traffic.history} == {0}
    assert len({each.at_ms for each in traffic.history}) == 14 * 24
    assert traffic.history[-1].at_ms < traffic.recent[0].at_ms <= traffic.recent[-1].at_ms < NOW_MS
    ids = [each.event["id"] for each in (*traffic.history, *traffic.recent)]
    assert len(set(ids)) == len(ids) > 80_000


def test_two_things_go_wrong_and_exactly_two_pages_say_so(cores):
    assert {(a.severity, a.kind, a.driver, *a.scope.values()) for a in cores.told()} == {
        ("page", "drift", "prompt", "review-clause"),
        ("page", "drift", "cache", "support-answer"),
    }


def test_a_runaway_agent_is_stopped_by_its_own_call_over_the_cap(cores, traffic):
    ledger, calls = Ledger(), runaway(traffic.runs, RUN)
    while ledger.nanousd("run_id", RUN) <= RUN_CAP_NANOUSD:
        assert [change for change in cores.switches if change.key == f"run_id={RUN}"] == []
        cores.wall_ms += 150
        event = {**next(calls), "time": cores.wall_ms}
        ledger.add(event, cores.wall_ms)
        cores.put([Timed(cores.wall_ms, event)])

    (engaged,) = [change for change in cores.switches if change.key == f"run_id={RUN}"]
    assert engaged.value.action == "block"
    assert {"run_id": RUN} in [alert.scope for alert in cores.told()]
    # What else sees the same dollars (the tenant's hour, its day) is told by the page of the run.
    cores.wait(12_000)
    assert len(cores.told()) == 3
