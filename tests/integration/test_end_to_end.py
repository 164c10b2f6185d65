"""The main job on real parts: 100,000 events through every role as separate processes, and out as one page and one switch.

A separate producer process publishes; every rollup total must equal the sums of the unique events to the nano-dollar;
one cap breach must show as one Slack message, one PagerDuty trigger and one engaged switch that a separate gateway
process refuses by. The same again with a kill -9 of each role in the middle.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.installation import ROLES, Installation
from tests.support.processes import pause_seconds, wait_until
from tests.support.topic_reader import Totals, read_rollups, records_in, totals

from tokenfuse.contracts.topics import EVENTS as EVENTS_TOPIC, ROLLUPS

if TYPE_CHECKING:
    from tests.conftest import Broker

EVENTS = 100_000
SPAN_SECONDS = 120
AXES = ("tenant", "feature", "model", "prompt_template", "user", "run_id")
SETTLED_SECONDS = 150.0

RULES = """
rules:
  - id: tenant-cap
    kind: cap
    maturity: stable
    axis: tenant
    match: whale
    window: 24h
    limit_usd: "{limit}"
    severity: page
    mode: enforce
    response: {{action: block, ttl: 1h}}
    runbook: docs/runbooks.md
"""


def events(seed: int) -> list[dict[str, Any]]:
    """Unique events, by event time; about one in ten is the whale's."""
    rng = random.Random(seed)
    start = time.time() - SPAN_SECONDS - 30
    return [_event(rng, number, start + SPAN_SECONDS * number / EVENTS) for number in range(EVENTS)]


def _event(rng: random.Random, number: int, at: float) -> dict[str, Any]:
    tokens = rng.randrange(100, 20_000)
    whale = rng.random() < 0.1
    return {
        "id": f"call-{number}",
        "time": round(at + rng.uniform(-3, 0), 3),
        "tenant": "whale" if whale else f"tenant-{rng.randrange(40)}",
        "feature": f"feature-{rng.randrange(12)}",
        "model": rng.choice(["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-20250514"]),
        "prompt_template": f"template-{rng.randrange(60)}" if rng.random() < 0.8 else None,
        "user": f"user-{rng.randrange(900)}" if rng.random() < 0.9 else None,
        "run_id": f"run-{number // 50}" if rng.random() < 0.3 else None,
        "input_tokens": tokens,
        "output_tokens": rng.randrange(1, 900),
        "cache_read_tokens": rng.randrange(0, tokens),
        "attempt": 1 + (rng.random() < 0.03),
        "cost_usd": str(Decimal(rng.randrange(1, 10**7)) / 10**9),
    }


def truth_of(unique: list[dict[str, Any]]) -> Totals:
    """Sums per scope, in the order of `topic_reader.MEASURES`, straight from the events."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * 6)
    for event in unique:
        row = (
            1, int(Decimal(event["cost_usd"]) * 10**9), event["input_tokens"], event["output_tokens"],
            event["cache_read_tokens"], int(event["attempt"] > 1),
        )  # fmt: skip
        scopes = [(axis, event[axis]) for axis in AXES if event[axis] is not None] + [("global", "")]
        for scope in scopes:
            sums[scope] = [a + b for a, b in zip(sums[scope], row, strict=True)]
    return {scope: tuple(row) for scope, row in sums.items()}


def write(path: Path, unique: list[dict[str, Any]], seed: int) -> None:
    """The file that the producer publishes: 3 % of the lines stand in it twice, a little apart."""
    rng = random.Random(seed)
    lines = [(place, json.dumps(event)) for place, event in enumerate(unique)]
    lines += [(place + rng.uniform(1, 2000), line) for place, line in lines if rng.random() < 0.03]
    path.write_text("".join(line + "\n" for _, line in sorted(lines, key=lambda item: item[0])))


def settled(installation: Installation, truth: Totals) -> dict[bytes, dict[str, Any]]:
    """Rollups once the running totals say that everything was counted, or whatever there is at the deadline."""
    servers = installation.environment["TOKENFUSE_BOOTSTRAP_SERVERS"]
    topic = installation.environment["TOKENFUSE_TOPIC_PREFIX"] + ROLLUPS
    deadline = time.monotonic() + SETTLED_SECONDS
    while True:
        began = time.monotonic()
        rollups = asyncio.run(read_rollups(servers, topic))
        if totals(rollups, "total") == truth or time.monotonic() > deadline:
            return rollups
        time.sleep(pause_seconds(time.monotonic() - began))


def check_totals(installation: Installation, truth: Totals) -> None:
    """Every granularity adds up to the truth in every scope."""
    rollups = settled(installation, truth)
    for granularity in ("total", "1m", "1h", "1d"):
        got = totals(rollups, granularity)
        wrong = {scope: (truth.get(scope), got.get(scope)) for scope in truth.keys() | got.keys()}
        wrong = {scope: pair for scope, pair in wrong.items() if pair[0] != pair[1]}
        assert not wrong, (
            f"{granularity}: {len(wrong)} of {len(truth)} scopes wrong, e.g. {next(iter(wrong.items()))}"
        )


def check_one_page(installation: Installation) -> None:
    """One Slack message, one PagerDuty trigger, one switch, and a gateway that refuses by it."""
    wait_until(lambda: bool(installation.messages("pagerduty", "trigger")), "PagerDuty was triggered", 60)
    wait_until(lambda: bool(installation.messages("slack", "chat.postMessage")), "Slack has a message", 60)
    gateway = installation.start_gateway()
    wait_until(lambda: gateway.complete(tenant="whale", feature="chat")[0] == 402, "the gateway refuses", 60)
    status, body = gateway.complete(tenant="whale", feature="chat")
    assert (status, body["error"]["code"]) == (402, "tokenfuse_blocked")
    assert gateway.complete(tenant="tenant-1", feature="chat")[0] == 200
    assert len(installation.messages("pagerduty", "trigger")) == 1
    assert len(installation.messages("slack", "chat.postMessage")) == 1
    switches = json.loads(installation.command("killswitch", "list", "--output", "json").stdout)
    assert [s["scope"] for s in switches["switches"]] == [{"tenant": "whale"}]


def kill_each_role_on_the_way(installation: Installation) -> None:
    """kill -9 of one role after every fifth of the events; the group starts it again."""
    servers = installation.environment["TOKENFUSE_BOOTSTRAP_SERVERS"]
    topic = installation.environment["TOKENFUSE_TOPIC_PREFIX"] + EVENTS_TOPIC
    for fifth, role in enumerate(ROLES, 1):
        wanted = fifth * EVENTS // 5
        wait_until(
            lambda wanted=wanted: asyncio.run(records_in(servers, topic)) >= wanted,
            f"{wanted} events are out",
            120,
        )
        installation.kill(role)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("killing", [False, True], ids=["undisturbed", "every_role_killed"])
def test_a_breached_cap_is_one_page_and_one_switch_and_every_total_is_exact(
    broker: Broker, topic_prefix: str, tmp_path: Path, killing: bool
) -> None:
    unique = events(seed=7)
    truth = truth_of(unique)
    limit = Decimal(truth["tenant", "whale"][1]) / 10**9 / 2
    write(tmp_path / "events.jsonl", unique, seed=7)
    rules = {"caps.yaml": RULES.format(limit=limit.quantize(Decimal("0.01")))}
    with Installation(tmp_path, broker.bootstrap_servers, topic_prefix, rules) as installation:
        rate = ["--rate", "4000"] if killing else []
        producer = installation.start_command("publish", str(tmp_path / "events.jsonl"), *rate)
        if killing:
            kill_each_role_on_the_way(installation)
        assert producer.wait(240) == 0
        check_totals(installation, truth)
        check_one_page(installation)
