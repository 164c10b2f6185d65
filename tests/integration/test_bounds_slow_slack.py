"""A Slack that answers in half a minute: the pager is told at once, what waits is bounded and visible, nothing is lost."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from msgspec.structs import replace
from prometheus_client import REGISTRY
from tests.support.receivers import CHANNEL, ROUTING_KEY, TOKEN, PagerDutyServer, SlackServer
from tests.unit.notify.alerts import CACHE

from tokenfuse.contracts.alert import encode_alert
from tokenfuse.contracts.topics import ALERTS
from tokenfuse.notify.lane import PENDING_MAX
from tokenfuse.runtime.notify import run_notify
from tokenfuse.runtime.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.slow

TICKETS = 2 * PENDING_MAX + 500
DEADLINE_SECONDS = 90.0


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:g} s: {what}"
        await asyncio.sleep(0.05)


def waiting(name: str, integration: str = "slack") -> float:
    return REGISTRY.get_sample_value(f"tokenfuse_notifications_{name}", {"integration": integration}) or 0.0


async def publish(servers: str, topic: str, numbers: range, severity: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=20) as producer:
        acks = []
        for number in numbers:
            alert = replace(CACHE, fingerprint=f"{number:016x}", severity=severity, seq=number)
            acks.append(await producer.send(topic, encode_alert(alert), key=alert.fingerprint.encode()))
        await asyncio.gather(*acks)


async def committed_by(servers: str, group: str, topic: str) -> int | None:
    async with AIOKafkaConsumer(
        bootstrap_servers=servers, group_id=group, enable_auto_commit=False
    ) as consumer:
        return await consumer.committed(TopicPartition(topic, 0))


@asynccontextmanager
async def notify(settings: Settings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(run_notify(settings, stop, lambda _: None))
    try:
        yield
    finally:
        stop.set()
        await running


def settings_of(broker: Any, prefix: str, slack: SlackServer, pagerduty: PagerDutyServer) -> Settings:
    return Settings(
        bootstrap_servers=broker.bootstrap_servers, topic_prefix=prefix, instance_id=prefix, slack_bot_token=TOKEN,
        slack_channel=CHANNEL, slack_base_url=slack.base_url, pagerduty_routing_key=ROUTING_KEY,
        pagerduty_base_url=pagerduty.base_url,
    )  # fmt: skip


async def test_half_a_minute_an_answer_holds_up_no_page_and_fills_no_memory(kafka_broker, topic_prefix):
    topic, servers = topic_prefix + ALERTS, kafka_broker.bootstrap_servers
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    async with SlackServer() as slack, PagerDutyServer() as pagerduty:
        slack.slow_seconds = 30.0
        async with notify(settings_of(kafka_broker, topic_prefix, slack, pagerduty)):
            await publish(servers, topic, range(TICKETS), "ticket")
            await publish(servers, topic, range(TICKETS, TICKETS + 5), "page")
            await until(lambda: len(pagerduty.incidents) == 5, "all five pages went out")
            told = len(slack.messages)
            await until(lambda: waiting("pending") >= PENDING_MAX, "the queue is seen to be full")
            await until(lambda: waiting("wait_seconds") > 10, "its age is seen")
            pending = waiting("pending")
        committed = await committed_by(servers, f"{topic_prefix}notify-slack", topic)
        posted = [message["metadata"]["event_payload"] for message in slack.messages]

    assert (committed or 0) <= len(posted), "what was not told is read again by the next life"
    assert told < 10, "Slack was not waited for"
    assert PENDING_MAX <= pending < 2 * PENDING_MAX
    assert waiting("pending", "pagerduty") == 0
    fingerprints = [payload["fingerprint"] for payload in posted]
    assert len(fingerprints) == len(set(fingerprints)), "what took long was not posted twice"
    assert list(itertools.islice(sorted(fingerprints), 1)) == [f"{0:016x}"], "the oldest first"
