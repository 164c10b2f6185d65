"""One rule set is in force at one point of the log for all workers: a reload under load is what a replay says it is."""

from __future__ import annotations

import asyncio
import json
import random
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.installation import Installation
from tests.support.processes import wait_until
from tests.support.topic_reader import read_topic

from tokenfuse.contracts.alert import Alert, decode_alert
from tokenfuse.contracts.block import Control, decode_block
from tokenfuse.contracts.signal import Verdict, decode_signal
from tokenfuse.contracts.topics import ALERTS, DELTAS, SIGNALS
from tokenfuse.decide.agent import AgentConfig, AgentCore
from tokenfuse.decide.decider import DeciderCore

if TYPE_CHECKING:
    from aiokafka.structs import ConsumerRecord
    from tests.conftest import Broker

PARTITIONS = 4
SECONDS = 24
PER_SECOND = 200

RULES = """
rules:
  - id: tenant-cap
    kind: cap
    maturity: stable
    axis: tenant
    window: 24h
    limit_usd: "{limit}"
    severity: page
    mode: enforce
    response: {{action: block, ttl: 1h}}
    runbook: docs/runbooks.md
"""

Log = dict[int, list["ConsumerRecord"]]


def write_events(path: Path) -> None:
    """Calls of thirty tenants with ever more spend, so that both limits are crossed by some and not by all."""
    rng = random.Random(3)
    start = time.time() - SECONDS
    with path.open("w") as file:
        for number in range(SECONDS * PER_SECOND):
            event = {
                "id": f"call-{number}",
                "time": round(start + number / PER_SECOND, 3),
                "tenant": f"tenant-{min(int(rng.expovariate(0.15)), 29)}",
                "feature": f"feature-{rng.randrange(5)}",
                "model": "gpt-4o",
                "input_tokens": 100,
                "output_tokens": 10,
                "cost_usd": str(Decimal(rng.randrange(1, 1000)) / 1000),
            }
            file.write(json.dumps(event) + "\n")


def logs(installation: Installation) -> tuple[Log, list[ConsumerRecord], list[ConsumerRecord]]:
    """Deltas by partition, signals, alerts."""
    servers = installation.environment["TOKENFUSE_BOOTSTRAP_SERVERS"]
    prefix = installation.environment["TOKENFUSE_TOPIC_PREFIX"]
    deltas, signals, alerts = (
        asyncio.run(read_topic(servers, prefix + name)) for name in (DELTAS, SIGNALS, ALERTS)
    )
    return deltas, signals[0], alerts[0]


def replayed_verdicts(deltas: Log) -> dict[tuple[int, int, int], Verdict]:
    """What the agents say of the deltas log, by place."""
    verdicts: dict[tuple[int, int, int], Verdict] = {}
    for partition, records in deltas.items():
        core = AgentCore(AgentConfig(rollup_ms=3000), partition)
        for record in records:
            for signal in core.apply(record.offset, decode_block(record.value)).signals:
                if isinstance(signal, Verdict):
                    verdicts[signal.partition, signal.offset, signal.index] = signal
    return verdicts


def live_verdicts(signals: list[ConsumerRecord]) -> dict[tuple[int, int, int], Verdict]:
    """What they said live, by place."""
    decoded = (decode_signal(record.value) for record in signals)
    return {(s.partition, s.offset, s.index): s for s in decoded if isinstance(s, Verdict)}


def replayed_alerts(signals: list[ConsumerRecord]) -> list[Alert]:
    """What the decider says of the signals log."""
    core = DeciderCore(PARTITIONS)
    return [a for record in signals for a in core.apply(record.offset, decode_signal(record.value)).alerts]


def generations(records: list[ConsumerRecord]) -> list[int]:
    """Rule sets in the order in which one deltas partition has them."""
    blocks = (decode_block(record.value) for record in records)
    return list(dict.fromkeys(b.generation for b in blocks if isinstance(b, Control)))


def unique(alerts: list[Any]) -> list[Any]:
    """Without what a restart said twice."""
    return list({(a.fingerprint, a.seq): a for a in alerts}.values())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_reload_under_load_gives_the_alert_log_of_a_replay_with_the_same_point(
    kafka_broker: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    """Two agent workers share the partitions; the limit is lowered while events flow."""
    rules = {"caps.yaml": RULES.format(limit="200.00")}
    write_events(tmp_path / "events.jsonl")
    with Installation(tmp_path, kafka_broker.bootstrap_servers, topic_prefix, rules) as installation:
        second = {"TOKENFUSE_INSTANCE_ID": "second", "TOKENFUSE_STATE_DIR": str(tmp_path / "second")}
        installation.start_command("run", "--role", "agents", **second)
        producer = installation.start_command(
            "publish", str(tmp_path / "events.jsonl"), "--rate", str(PER_SECOND)
        )
        wait_until(lambda: bool(logs(installation)[2]), "an alert of the first rule set", 60)
        (tmp_path / "rules" / "caps.yaml").write_text(RULES.format(limit="90.00"))
        wait_until(
            lambda: all(len(generations(records)) == 2 for records in logs(installation)[0].values()),
            "the second rule set in every partition",
            60,
        )
        (tmp_path / "rules" / "caps.yaml").write_text("rules: [what is this]\n")
        assert producer.wait(120) == 0
        wait_until(lambda: len(logs(installation)[2]) > 8, "alerts of the second rule set", 60)
        installation.group.terminate()
        installation.group.wait(60)
        deltas, signals, alerts = logs(installation)

    assert len({tuple(generations(records)) for records in deltas.values()}) == 1
    live = live_verdicts(signals)
    replayed = replayed_verdicts(deltas)
    assert live
    assert {place: replayed[place] for place in live} == live
    written = unique([decode_alert(record.value) for record in alerts])
    assert len({a.threshold for a in written}) == 2
    assert written == unique(replayed_alerts(signals))[: len(written)]
