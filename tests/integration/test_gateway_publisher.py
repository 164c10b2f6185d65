"""Events on their way: through a broker that comes late, as CloudEvents, from threads, and the gateway beside them."""

from __future__ import annotations

import asyncio
import threading
import time

from tests.support.processes import wait_until
from tests.support.switch_topic import SwitchWriter, create_topic

from tokenfuse.contracts import cloudevents
from tokenfuse.contracts.event import decode_event
from tokenfuse.contracts.topics import EVENTS, KILLSWITCH
from tokenfuse.gateway import BlockingGateway, BlockingPublisher, Gateway, Publisher
from tokenfuse.gateway.reader import read_to_end

FIELDS = {"tenant": "acme", "feature": "chat", "model": "gpt-4o", "input_tokens": 10, "output_tokens": 2}


async def test_events_wait_for_a_topic_that_is_made_later_and_all_arrive(broker, topic_prefix) -> None:
    """A publisher must not make the topic by asking for it: it would have the wrong partitions for ever."""
    address = broker.bootstrap_servers
    async with Publisher(address, topic_prefix=topic_prefix, cloudevents_source="/gateways/eu") as publisher:
        for n in range(2500):
            assert publisher.publish({**FIELDS, "id": f"e{n}", "tenant": f"t{n % 5}"})
        assert publisher.sent == 0
        await create_topic(address, topic_prefix + EVENTS, 4)
        async with asyncio.timeout(60):
            while publisher.queued:  # noqa: ASYNC110 - a broker at work
                await asyncio.sleep(0.02)
    records = await read_to_end(topic_prefix + EVENTS, {"bootstrap_servers": address})

    assert {decode_event(record.value).id for record in records} == {f"e{n}" for n in range(2500)}
    assert all(cloudevents.is_cloudevent(record.headers) for record in records)
    assert dict(records[0].headers)["ce_source"] == b"/gateways/eu"
    assert len({(record.key, record.partition) for record in records}) == 5
    assert (publisher.sent, publisher.dropped) == (2500, {})


def test_threads_publish_and_check_without_a_loop_of_their_own(broker, topic_prefix) -> None:
    address = broker.bootstrap_servers
    asyncio.run(create_topic(address, topic_prefix + EVENTS, 1))
    asyncio.run(create_topic(address, topic_prefix + KILLSWITCH))

    async def engage() -> None:
        async with SwitchWriter(address, topic_prefix) as decider:
            await decider.engage({"user": "u3"})

    publisher = Publisher(address, topic_prefix=topic_prefix)
    with (
        BlockingGateway(Gateway(address, topic_prefix=topic_prefix)) as gateway,
        BlockingPublisher(publisher) as blocking,
    ):
        assert gateway.ready(20)
        asyncio.run(engage())
        wait_until(lambda: not gateway.check(user="u3").allowed, "the switch arrives")
        threads = [
            threading.Thread(
                target=lambda n=n: [blocking.publish({**FIELDS, "id": f"{n}-{i}"}) for i in range(200)]
            )
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (publisher.sent, publisher.dropped) == (800, {})
    assert gateway.status().engaged == 1


async def test_a_sign_of_life_that_ended_long_ago_is_a_stale_view(broker, topic_prefix) -> None:
    address = broker.bootstrap_servers
    await create_topic(address, topic_prefix + KILLSWITCH)
    closed = [{"tenant": "trial"}]
    options = {"topic_prefix": topic_prefix, "stale_after_seconds": 0.5, "fail_closed_scopes": closed}
    async with SwitchWriter(address, topic_prefix) as decider, Gateway(address, **options) as gateway:
        assert await gateway.ready(20)
        assert gateway.check(tenant="trial").code == "tokenfuse_view_stale", "no decider was ever heard of"
        assert gateway.check(tenant="acme").allowed

        await decider.beat()
        await _until(lambda: gateway.check(tenant="trial").allowed)
        await _until(lambda: gateway.check(tenant="trial").code == "tokenfuse_view_stale")
        assert gateway.check(tenant="acme").stale


async def _until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
