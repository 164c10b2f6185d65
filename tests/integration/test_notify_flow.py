"""From the alerts topic to Slack and PagerDuty: every alert once, through failures and a kill -9."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from tests.support.receivers import CHANNEL, HANG, ROUTING_KEY, TOKEN, PagerDutyServer, SlackServer
from tests.unit.notify.alerts import alert

from tokenfuse.contracts.alert import Alert, encode_alert
from tokenfuse.contracts.topics import ALERTS
from tokenfuse.notify.pagerduty import dedup_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.slow

DEADLINE_SECONDS = 60.0


async def until(condition: Callable[[], bool], what: str) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:g} s: {what}"
        await asyncio.sleep(0.02)


class Flow:
    """An alerts topic, a Slack, a PagerDuty, and notify processes that a test starts and kills."""

    def __init__(
        self, bootstrap_servers: str, prefix: str, slack: SlackServer, pagerduty: PagerDutyServer
    ) -> None:
        self.slack, self.pagerduty = slack, pagerduty
        self.topic = f"{prefix}{ALERTS}"
        self._bootstrap_servers, self._prefix = bootstrap_servers, prefix
        self._processes: list[asyncio.subprocess.Process] = []

    async def open(self, stack: AsyncExitStack) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap_servers)
        await admin.start()
        await admin.create_topics([NewTopic(self.topic, 1, 1)])
        await admin.close()
        self._producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap_servers, acks="all")
        await self._producer.start()
        stack.push_async_callback(self._producer.stop)
        stack.push_async_callback(self._end)

    async def publish(self, *alerts: Alert) -> None:
        for each in alerts:
            await self._producer.send_and_wait(self.topic, encode_alert(each), key=each.fingerprint.encode())

    async def start(self) -> asyncio.subprocess.Process:
        settings = {
            "BOOTSTRAP_SERVERS": self._bootstrap_servers,
            "TOPIC_PREFIX": self._prefix,
            "INSTANCE_ID": "one",
            "SLACK_BOT_TOKEN": TOKEN,
            "SLACK_CHANNEL": CHANNEL,
            "SLACK_BASE_URL": self.slack.base_url,
            "PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
            "PAGERDUTY_BASE_URL": self.pagerduty.base_url,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.notify_process",
            env=os.environ | {f"TOKENFUSE_{name}": value for name, value in settings.items()},
        )  # fmt: skip
        self._processes.append(process)
        return process

    async def committed(self, integration: str) -> int | None:
        """The group's offset on the alerts topic."""
        group = f"{self._prefix}notify-{integration}"
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers, group_id=group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            partition = TopicPartition(self.topic, 0)
            consumer.assign([partition])
            offset: int | None = await consumer.committed(partition)
            return offset
        finally:
            await consumer.stop()

    async def _end(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
                await process.wait()


@asynccontextmanager
async def opened(broker: Any, prefix: str) -> AsyncIterator[Flow]:
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(SlackServer())
        pagerduty = await stack.enter_async_context(PagerDutyServer())
        flow = Flow(broker.bootstrap_servers, prefix, slack, pagerduty)
        await flow.open(stack)
        yield flow


@pytest.fixture
async def flow(embedded_broker, topic_prefix):
    async with opened(embedded_broker, topic_prefix) as opened_flow:
        yield opened_flow


@pytest.fixture
async def flow_on_each_broker(broker, topic_prefix):
    async with opened(broker, topic_prefix) as opened_flow:
        yield opened_flow


def blocks_start(slack: SlackServer) -> list[str]:
    """How each message in the channel begins."""
    return [message["text"].split(":")[0] for message in slack.messages]


async def test_an_incident_is_one_slack_message_and_one_page_through_500s_and_a_kill(flow_on_each_broker):
    """Slack answers 500 three times; the process dies between Slack's post and the offset commit, and comes back."""
    flow = flow_on_each_broker
    process = await flow.start()
    flow.slack.fail(500, 500, 500)
    flow.slack.on_record = lambda _: process.kill() if process.returncode is None else None
    await flow.publish(alert(1), alert(2, excess_usd="99"))
    assert await asyncio.wait_for(process.wait(), DEADLINE_SECONDS) == -signal.SIGKILL
    assert blocks_start(flow.slack) == ["🔴 PAGE"]
    assert await flow.committed("slack") is None

    flow.slack.on_record = None
    again = await flow.start()
    await flow.publish(alert(3, state="resolved"))
    await until(lambda: blocks_start(flow.slack) == ["🟢 Resolved"], "the message says resolved")
    await until(lambda: list(flow.pagerduty.incidents.values()) == ["resolved"], "the page is resolved")
    again.terminate()

    assert await asyncio.wait_for(again.wait(), DEADLINE_SECONDS) == 0
    assert len(flow.slack.calls("chat.postMessage")) == 1
    assert {event["dedup_key"] for event in flow.pagerduty.calls("trigger")} == {dedup_key(alert(1))}
    assert (await flow.committed("slack"), await flow.committed("pagerduty")) == (3, 3)
    assert flow.slack.refused == flow.pagerduty.refused == []


async def test_a_restart_tells_nothing_again_and_still_knows_what_was_told(flow):
    first = await flow.start()
    await flow.publish(alert(1))
    await until(lambda: len(flow.slack.messages) == len(flow.pagerduty.incidents) == 1, "both were told")
    first.terminate()
    assert await asyncio.wait_for(first.wait(), DEADLINE_SECONDS) == 0

    await flow.start()
    await flow.publish(alert(1), alert(2, state="resolved"))
    await until(lambda: list(flow.pagerduty.incidents.values()) == ["resolved"], "the page is resolved")
    await until(lambda: blocks_start(flow.slack) == ["🟢 Resolved"], "the message says resolved")

    assert [entry["call"] for entry in flow.pagerduty.received] == ["trigger", "resolve"]
    assert [entry["call"] for entry in flow.slack.received] == ["chat.postMessage", "chat.update"]


async def test_a_slack_that_hangs_holds_up_no_page_and_a_bad_record_nothing(flow):
    flow.slack.fail(HANG)
    await flow._producer.send_and_wait(flow.topic, b"not an alert", key=b"x")
    await flow.publish(alert(1))
    await flow.start()

    await until(lambda: list(flow.pagerduty.incidents.values()) == ["triggered"], "the page goes out")
    assert flow.slack.messages == []
    await until(lambda: len(flow.slack.messages) == 1, "Slack is told when it has recovered")
