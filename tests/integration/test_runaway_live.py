"""Runaway agents as events on a running installation: each is alerted within ten seconds of event time, at p95.

The producer sends at the pace of the events' own times, so ingest cuts slices as it would live. What counts is the event
time of the alert's first firing after the run's first call: how loaded the machine is does not matter.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.support.installation import Installation
from tests.support.processes import wait_until
from tests.support.topic_reader import read_topic

from tokenfuse.contracts.alert import decode_alert
from tokenfuse.contracts.clock import from_rfc3339
from tokenfuse.contracts.topics import ALERTS

if TYPE_CHECKING:
    from tests.conftest import Broker

PER_SECOND = 50
SECONDS = 50
LOOPS = [f"loop-{n}" for n in range(5)]
FAN_OUTS = [f"fan-out-{n}" for n in range(5)]

RULES = """
rules:
  - {id: steps, kind: agent, axis: run_id, measure: steps, limit: 20, floor_usd: "0", maturity: incubating, severity: page,
     mode: shadow, response: {action: block, ttl: 1h}, runbook: docs/runbooks.md#run-loop}
  - {id: fan-out, kind: agent, axis: run_id, measure: children, limit: 15, floor_usd: "0", maturity: incubating,
     severity: page, mode: shadow, response: {action: block, ttl: 1h}, runbook: docs/runbooks.md#run-fan-out}
"""


def events(start: float) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Every fiftieth of a second a call: background, and from its start on each runaway's; and those starts."""
    runaways = [run for pair in zip(LOOPS, FAN_OUTS, strict=True) for run in pair]
    starts = {run: start + 3 + 3 * n for n, run in enumerate(runaways)}
    made: list[dict[str, Any]] = []
    steps = dict.fromkeys(runaways, 0)
    for number in range(PER_SECOND * SECONDS):
        at = start + number / PER_SECOND
        run = runaways[number % len(runaways)]
        event = {
            "id": f"e-{number}", "time": round(at, 3), "tenant": "acme", "feature": "code", "model": "gpt-4o",
            "input_tokens": 1000, "output_tokens": 100, "cost_usd": "0.01", "run_id": f"usual-{number // 20}",
        }  # fmt: skip
        if at >= starts[run]:
            steps[run] += 1
            own = {"run_id": run, "step": steps[run]}
            child = {"run_id": f"{run}-{steps[run]}", "parent_run_id": run, "step": 1, "depth": 1}
            event |= own if run in LOOPS else child
        made.append(event)
    return made, starts


def first_firings(servers: str, topic: str) -> dict[str, float]:
    """Run to the event time of its first firing, seconds."""
    found: dict[str, float] = {}
    for records in asyncio.run(read_topic(servers, topic)).values():
        for record in records:
            alert = decode_alert(record.value) if record.value else None
            if alert is not None and alert.state == "firing":
                found.setdefault(alert.scope["run_id"], from_rfc3339(alert.at) / 1000)
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_runaways_are_alerted_within_ten_seconds_of_event_time_at_p95(
    broker: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    with Installation(
        tmp_path, broker.bootstrap_servers, topic_prefix, {"agents.yaml": RULES}
    ) as installation:
        made, starts = events(time.time())
        (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in made))
        producer = installation.start_command(
            "publish", str(tmp_path / "events.jsonl"), "--rate", str(PER_SECOND)
        )
        assert producer.wait(180) == 0
        topic = topic_prefix + ALERTS
        wait_until(
            lambda: starts.keys() <= first_firings(broker.bootstrap_servers, topic).keys(),
            "every runaway is alerted",
            60,
        )
        firings = first_firings(broker.bootstrap_servers, topic)
    assert firings.keys() == starts.keys()
    delays = [firings[run] - starts[run] for run in starts]
    assert np.quantile(delays, 0.95) <= 10, sorted(delays)
