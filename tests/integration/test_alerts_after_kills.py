"""What is alerted depends on the events alone: roles are killed on the way, and it is what a replay of the same file says.

Fingerprints, states and `starts_at`. tests/chaos compares every byte, against the deltas topic that a run made.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import defaultdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.installation import Installation
from tests.support.processes import wait_until
from tests.support.topic_reader import read_topic

from tokenfuse.contracts.alert import Alert, decode_alert
from tokenfuse.contracts.block import Control, decode_block
from tokenfuse.contracts.topics import ALERTS, DELTAS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import Broker

SECONDS = 40
PER_SECOND = 100
RATE = 250
"""At which they are published, per second."""

KILLS = ("agents", "ingest", "decider")

RULES = """
rules:
  - {id: tenant-cap, kind: cap, axis: tenant, window: 24h, limit_usd: "60.00", maturity: stable, severity: page, mode: enforce,
     response: {action: block, ttl: 1h}, runbook: docs/runbooks.md}
  - {id: feature-cap, kind: cap, axis: feature, window: 1h, limit_usd: "300.00", maturity: stable, severity: ticket, mode: warn,
     runbook: docs/runbooks.md}
  - {id: steps, kind: agent, axis: run_id, measure: steps, limit: 60, floor_usd: "0", maturity: incubating, severity: page,
     mode: warn, runbook: docs/runbooks.md#run-loop}
"""


def write_events(path: Path) -> None:
    """Calls of twenty tenants, a third of them steps of runs of very different lengths."""
    rng = random.Random(11)
    start = time.time() - SECONDS
    with path.open("w") as file:
        for number in range(SECONDS * PER_SECOND):
            run = f"run-{int(rng.paretovariate(0.6))}"
            event = {
                "id": f"call-{number}", "time": round(start + number / PER_SECOND, 3),
                "tenant": f"tenant-{min(int(rng.expovariate(0.15)), 19)}", "feature": f"feature-{rng.randrange(4)}",
                "model": "gpt-4o", "input_tokens": 100, "output_tokens": 10, "cost_usd": f"0.{rng.randrange(1, 1000):03}",
                **({"run_id": run, "step": number} if number % 3 == 0 else {}),
            }  # fmt: skip
            file.write(json.dumps(event) + "\n")


Steps = list[tuple[str, str]]
"""State and `starts_at`."""


def sequences(alerts: Iterable[Alert]) -> dict[str, Steps]:
    """By fingerprint what an alert went through; a state that is told again with new figures is no transition."""
    found: dict[str, Steps] = defaultdict(list)
    for alert in alerts:
        found[alert.fingerprint].append((alert.state, alert.starts_at))
    return {each: [step for step, _ in groupby(steps)] for each, steps in found.items()}


def records(installation: Installation, topic: str) -> list[bytes]:
    """All values of a topic, partition by partition."""
    servers = installation.environment["TOKENFUSE_BOOTSTRAP_SERVERS"]
    prefix = installation.environment["TOKENFUSE_TOPIC_PREFIX"]
    found = asyncio.run(read_topic(servers, prefix + topic))
    return [record.value for partition in found.values() for record in partition if record.value]


def rules_are_in_force(installation: Installation) -> bool:
    """In every deltas partition: what a run did before has no other date than that of the first look."""
    servers = installation.environment["TOKENFUSE_BOOTSTRAP_SERVERS"]
    prefix = installation.environment["TOKENFUSE_TOPIC_PREFIX"]
    found = asyncio.run(read_topic(servers, prefix + DELTAS)).values()
    blocks = [[decode_block(record.value) for record in partition if record.value] for partition in found]
    return bool(blocks) and all(any(isinstance(each, Control) for each in some) for some in blocks)


def live(
    directory: Path, broker: Broker, prefix: str, events: Path, until: set[str], kills: tuple[str, ...]
) -> dict[str, Steps]:
    """What an installation alerts, of whose roles some are killed one after the other while it works the events off."""
    prepared = Installation(directory, broker.bootstrap_servers, prefix, {"rules.yaml": RULES})
    prepared.environment["TOKENFUSE_SOURCE_PARTITIONS"] = "1"
    with prepared as installation:
        wait_until(lambda: rules_are_in_force(installation), "rules in force", 60)
        producer = installation.start_command("publish", str(events), "--rate", str(RATE))
        for number, role in enumerate(kills):
            wait_until(
                lambda number=number: len(records(installation, DELTAS)) > 60 * (number + 1),
                "more slices",
                60,
            )
            installation.kill(role)
        assert producer.wait(120) == 0

        def told() -> dict[str, Steps]:
            return sequences(map(decode_alert, records(installation, ALERTS)))

        wait_until(
            lambda: until <= {each for each, steps in told().items() if steps[-1][0] == "firing"},
            "every alert of the replay fires",
            90,
        )
        return told()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kills", [KILLS, ()], ids=["with kills", "without"])
def test_a_run_with_kills_or_without_alerts_what_a_replay_of_the_same_events_does(
    broker: Broker, topic_prefix: str, tmp_path: Path, kills: tuple[str, ...]
) -> None:
    events, rules = tmp_path / "events.jsonl", tmp_path / "replay-rules"
    write_events(events)
    rules.mkdir()
    (rules / "rules.yaml").write_text(RULES)
    replay = Installation(tmp_path / "replay", broker.bootstrap_servers, topic_prefix, {})
    replay.command("replay", str(events), "--rules", str(rules), "--out", str(tmp_path / "out"))
    replayed = sequences(map(decode_alert, (tmp_path / "out" / "alerts.jsonl").read_bytes().splitlines()))
    assert len(replayed) > 10

    lived = live(tmp_path / "live", broker, topic_prefix, events, set(replayed), kills)

    assert lived == replayed
