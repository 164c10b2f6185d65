"""Ingest, agents and decider in one event loop: events become totals, a cap becomes a switch and an alert."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic

from tokenfuse.contracts import topics
from tokenfuse.contracts.alert import Alert, decode_alert
from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.killswitch import HEARTBEAT, Switch, decode_switch
from tokenfuse.runtime import kafka
from tokenfuse.runtime.agents import run_agents
from tokenfuse.runtime.broker import end_offsets
from tokenfuse.runtime.decider import run_decider
from tokenfuse.runtime.ingest.worker import run_ingest
from tokenfuse.runtime.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.conftest import Broker

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


@pytest.fixture
def settings(broker: Broker, topic_prefix: str, tmp_path: Path) -> Settings:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "caps.yaml").write_text(RULES.format(limit="100.00"))
    return Settings(
        bootstrap_servers=broker.bootstrap_servers,
        topic_prefix=topic_prefix,
        instance_id="test",
        state_dir=tmp_path / "state",
        rules_dir=tmp_path / "rules",
        source_partitions=2,
        deltas_partitions=4,
        checkpoint_seconds=0.5,
        rollup_seconds=1,
    )


async def create_topics(settings: Settings) -> None:
    wanted = topics.topics(
        settings.source_partitions, settings.deltas_partitions, settings.dedup_horizon_seconds
    )
    async with contextlib.AsyncExitStack() as stack:
        admin = kafka.admin(settings)
        await admin.start()
        stack.push_async_callback(admin.close)
        await admin.create_topics(
            [NewTopic(settings.topic(t.name), t.partitions, 1, topic_configs=dict(t.config)) for t in wanted]
        )


@contextlib.asynccontextmanager
async def roles(settings: Settings, *runs: Callable[..., Any]) -> AsyncIterator[None]:
    """Run roles side by side until the block ends; they must be ready before it begins."""
    stop = asyncio.Event()
    states = [False] * len(runs)

    def told(index: int) -> Callable[[bool], None]:
        return lambda ready: states.__setitem__(index, ready)

    async with asyncio.TaskGroup() as group:
        for index, run in enumerate(runs):
            group.create_task(run(settings, stop, told(index)))
        try:
            await until(lambda: all(states), "all roles are ready")
            yield
        finally:
            stop.set()


async def until(condition: Callable[[], Any], what: str, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.05)


async def read(settings: Settings, topic: str) -> list[Any]:
    """Every record of a topic."""
    found: list[Any] = []
    async with kafka.consumer(settings, auto_offset_reset="earliest") as consumer:
        partitions = await partitions_of(consumer, settings.topic(topic))
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await end_offsets(consumer, partitions)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
    return found


async def partitions_of(consumer: Any, topic: str) -> list[TopicPartition]:
    await consumer._client.force_metadata_update()
    return [TopicPartition(topic, p) for p in consumer._client.cluster.partitions_for_topic(topic) or ()]


async def publish(settings: Settings, first: int, count: int, cost_usd: str, tenant: str = "acme") -> None:
    async with kafka.producer(settings, enable_idempotence=False) as producer:
        for index in range(first, first + count):
            event = {
                "id": f"e{index}",
                "time": to_rfc3339(int(time.time() * 1000)),
                "tenant": tenant,
                "feature": f"f{index % 3}",
                "model": "gpt-4o",
                "provider": "openai",
                "input_tokens": 100,
                "output_tokens": 10,
                "cost_usd": cost_usd,
            }
            await producer.send(
                settings.topic(topics.EVENTS),
                json.dumps(event).encode(),
                key=tenant.encode(),
                partition=index % 2,
            )
        await producer.flush()


async def totals(settings: Settings) -> dict[str, tuple[int, str]]:
    """(calls, dollars) per tenant from the latest `total` rollups."""
    latest: dict[Any, dict[str, Any]] = {}
    for record in await read(settings, topics.ROLLUPS):
        rollup = json.loads(record.value)
        if rollup["axis"] == "tenant" and rollup["granularity"] == "total":
            key = (rollup["value"], rollup["pane_start"])
            if key not in latest or rollup["revision"] > latest[key]["revision"]:
                latest[key] = rollup
    return {value: (rollup["calls"], rollup["cost_usd"]) for (value, _), rollup in latest.items()}


async def switches(settings: Settings) -> dict[str, Switch]:
    """What a gateway that starts now believes after compaction: the last record of each key."""
    last = {r.key.decode(): r.value for r in await read(settings, topics.KILLSWITCH)}
    return {key: decode_switch(value) for key, value in last.items() if value and key != HEARTBEAT}


async def alerts(settings: Settings) -> list[Alert]:
    return [decode_alert(r.value) for r in await read(settings, topics.ALERTS)]


async def eventually(get: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float = 40) -> Any:
    deadline = time.monotonic() + seconds
    while not wanted(value := await get()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s; last: {value}"
        await asyncio.sleep(0.2)
    return value


async def test_a_cap_breach_becomes_one_alert_and_one_switch_and_survives_a_restart(
    settings: Settings,
) -> None:
    await create_topics(settings)
    async with roles(settings, run_ingest, run_agents, run_decider):
        await publish(settings, 0, 50, "1.000000001")
        await eventually(lambda: totals(settings), lambda t: t == {"acme": (50, "50.00000005")})
        assert await switches(settings) == {}

    async with roles(settings, run_ingest, run_agents, run_decider):
        await publish(settings, 50, 60, "1.000000001")
        await eventually(lambda: switches(settings), lambda s: list(s) == ["tenant=acme"])
        await eventually(lambda: totals(settings), lambda t: t == {"acme": (110, "110.00000011")})

    firing = [alert for alert in await alerts(settings) if alert.state == "firing"]
    assert {alert.rule for alert in firing} == {"tenant-cap"}
