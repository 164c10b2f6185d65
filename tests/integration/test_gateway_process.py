"""A gateway in a process of its own: it refuses by what is engaged, from whenever it starts, whatever happens to brokers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.switch_topic import SwitchWriter, create_topic

from tokenfuse.contracts.event import decode_event
from tokenfuse.contracts.topics import EVENTS, KILLSWITCH
from tokenfuse.gateway import Gateway, reader
from tokenfuse.gateway.reader import follow
from tokenfuse.runtime.broker.child import Child, free_port
from tokenfuse.runtime.broker.embedded import _binary, _command
from tokenfuse.runtime.broker.ping import answers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

DEADLINE_SECONDS = 60.0


class Sample:
    """Speaks to a sample gateway process."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def get(self, path: str) -> tuple[int, Any]:
        return (await asyncio.to_thread(self._ask, urllib.request.Request(self._url + path)))[:2]

    async def complete(self, **axes: str) -> tuple[int, Any, dict[str, str]]:
        headers = {f"X-{axis.replace('_', '-')}": value for axis, value in axes.items()}
        body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}).encode()
        request = urllib.request.Request(self._url + "/v1/chat/completions", body, headers, method="POST")
        return await asyncio.to_thread(self._ask, request)

    @staticmethod
    def _ask(request: urllib.request.Request) -> tuple[int, Any, dict[str, str]]:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), dict(error.headers)


@contextlib.asynccontextmanager
async def sample_gateway(bootstrap_servers: str, prefix: str, *options: str) -> AsyncIterator[Sample]:
    command = [
        "-m",
        "tokenfuse.gateway.sample",
        "--bootstrap-servers",
        bootstrap_servers,
        "--topic-prefix",
        prefix,
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, *options, stdout=asyncio.subprocess.PIPE
    )
    try:
        line = await asyncio.wait_for(process.stdout.readline(), DEADLINE_SECONDS)
        yield Sample(line.decode().split()[-1])
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), DEADLINE_SECONDS) == 0


@contextlib.contextmanager
def broker_at(port: int, log_dir: Path) -> Iterator[None]:
    """An embedded broker on a port of the test's choice, empty."""
    address = f"127.0.0.1:{port}"
    child = Child(_command(_binary(), address), log_dir / "broker.log", grace_seconds=2.0)
    try:
        child.wait_until(lambda: answers(address), DEADLINE_SECONDS, "the broker")
        yield
    finally:
        child.stop()


async def until(ask: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not wanted(answer := await ask()):  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.02)
    return answer


def status(code: int) -> Callable[[Any], bool]:
    return lambda answer: answer[0] == code


async def test_an_engaged_switch_refuses_with_its_reason_and_a_release_lets_through(
    broker, topic_prefix
) -> None:
    address = broker.bootstrap_servers
    await create_topic(address, topic_prefix + KILLSWITCH)
    await create_topic(address, topic_prefix + EVENTS, 4)
    async with (
        SwitchWriter(address, topic_prefix) as decider,
        sample_gateway(address, topic_prefix) as sample,
    ):
        await decider.beat()
        await until(lambda: sample.get("/readyz"), status(200))
        assert (await sample.complete(tenant="acme"))[0] == 200

        await decider.engage({"tenant": "acme", "feature": "chat"}, reason="$120 of $100 today")
        _, body, headers = await until(lambda: sample.complete(tenant="acme", feature="chat"), status(402))
        assert body["error"]["code"] == "tokenfuse_blocked"
        assert body["error"]["reason"] == "$120 of $100 today"
        assert body["error"]["scope"] == {"tenant": "acme", "feature": "chat"}
        assert "Retry-After" not in headers
        assert (await sample.complete(tenant="acme", feature="search"))[0] == 200
        assert (await sample.complete(tenant="other", feature="chat"))[0] == 200

        await decider.release({"tenant": "acme", "feature": "chat"})
        await until(lambda: sample.complete(tenant="acme", feature="chat"), status(200))


async def test_a_gateway_that_starts_later_knows_what_is_engaged_and_what_was_released(
    broker, topic_prefix
) -> None:
    address = broker.bootstrap_servers
    await create_topic(address, topic_prefix + KILLSWITCH)
    async with SwitchWriter(address, topic_prefix) as decider:
        await decider.engage({"tenant": "still"})
        await decider.engage({"tenant": "released"})
        await decider.release({"tenant": "released"})
        await decider.engage({"tenant": "shadow"}, mode="shadow")
        await decider.engage({"model": "gpt-4o"}, action="downgrade", downgrade_to="gpt-4o-mini")
        await decider.write("tenant=broken", b"not a switch")
        await decider.beat()

        async with Gateway(address, topic_prefix=topic_prefix) as gateway:
            assert await gateway.ready(DEADLINE_SECONDS)

            assert gateway.check(tenant="still").http_status == 402
            assert gateway.check(tenant="released").allowed
            assert gateway.check(tenant="shadow").would_block
            assert gateway.check(tenant="x", model="gpt-4o").downgrade_to == "gpt-4o-mini"
            assert not gateway.stale
            assert gateway.status().records["malformed"] == 1


async def test_a_call_that_goes_ahead_is_published_under_its_tenant(broker, topic_prefix) -> None:
    address = broker.bootstrap_servers
    await create_topic(address, topic_prefix + KILLSWITCH)
    await create_topic(address, topic_prefix + EVENTS, 4)
    async with sample_gateway(address, topic_prefix) as sample:
        answers = [await sample.complete(tenant=f"t{n % 3}", user="u1", run_id="r1") for n in range(9)]

        records = []
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            contextlib.aclosing(follow(topic_prefix + EVENTS, {"bootstrap_servers": address})) as chunks,
        ):
            async for chunk in chunks:
                records.extend(chunk.records)
                if len(records) == 9:
                    break
    events = {decode_event(each.value).id: each for each in records}
    assert {body["id"] for _, body, _ in answers} == events.keys()
    assert all(decode_event(each.value).tenant.encode() == each.key for each in records)
    assert len({(each.key, each.partition) for each in records}) == 3


async def test_without_a_broker_calls_go_ahead_and_the_answer_says_stale() -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    async with sample_gateway(nowhere, "x.") as sample:
        code, _, headers = await sample.complete(tenant="acme")
        assert code == 200
        assert headers["x-tokenfuse-stale"] == "true"
        assert (await sample.get("/readyz"))[0] == 503
        assert (await sample.get("/livez"))[0] == 200
    async with sample_gateway(nowhere, "x.", "--fail", "closed") as sample:
        code, body, _ = await sample.complete(tenant="acme")
        assert (code, body["error"]["code"]) == (402, "tokenfuse_view_stale")


async def test_a_gateway_finds_a_broker_that_starts_after_it_and_one_that_lost_its_memory(
    topic_prefix, tmp_path
) -> None:
    """The embedded broker forgets everything when it stops: the switches that it held are gone, and so is the refusal."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    async with Gateway(address, topic_prefix=topic_prefix) as gateway:
        assert not await gateway.ready(0.5)
        with broker_at(port, tmp_path):
            await create_topic(address, topic_prefix + KILLSWITCH)
            async with SwitchWriter(address, topic_prefix) as decider:
                for _ in range(5):
                    await decider.beat()
                await decider.engage({"tenant": "acme"})
            assert await gateway.ready(DEADLINE_SECONDS)
            assert not gateway.check(tenant="acme").allowed
        with broker_at(port, tmp_path):
            await create_topic(address, topic_prefix + KILLSWITCH)
            async with SwitchWriter(address, topic_prefix) as decider:
                await decider.beat()
                await decider.engage({"tenant": "other"})

                async def refused() -> tuple[bool, bool]:
                    return gateway.check(tenant="acme").allowed, gateway.check(tenant="other").allowed

                await until(refused, lambda answer: answer == (True, False))


async def test_a_broker_that_goes_away_is_noticed_and_ends_the_reading_not_the_task(
    topic_prefix, tmp_path, monkeypatch
) -> None:
    """aiokafka's own cancelled fetch must not look like our cancellation: the gateway would stop following for good."""
    monkeypatch.setattr(reader, "CONTACT_LOST_SECONDS", 1.0)
    port = free_port()
    address = f"127.0.0.1:{port}"
    topic = topic_prefix + KILLSWITCH
    async with contextlib.aclosing(follow(topic, {"bootstrap_servers": address})) as chunks:
        with broker_at(port, tmp_path):
            await create_topic(address, topic)
            assert (await anext(chunks)).records == ()

        async def read_on() -> None:
            async for _ in chunks:
                pass

        with pytest.raises(reader.ContactLostError):
            await asyncio.wait_for(read_on(), DEADLINE_SECONDS)
