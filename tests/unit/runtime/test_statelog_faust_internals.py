"""A test per trap: what we rely on inside Faust, mode and aiokafka is still there and still behaves so."""

from __future__ import annotations

import asyncio
import inspect
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import NodeNotReadyError
from faust.app.base import App
from faust.tables.base import Collection
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer as BaseConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.queues import FlowControlEvent, FlowControlQueue
from tests.integration.statelog_worker import SumsFactory

from tokenfuse.runtime.broker.quirks import KAFKA, TANSU
from tokenfuse.runtime.settings import Settings
from tokenfuse.runtime.statelog import faust_internals as internals
from tokenfuse.runtime.statelog.app import build_app, input_topic
from tokenfuse.runtime.statelog.owner import StateLogSpec
from tokenfuse.runtime.statelog.watchdog import Pulse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPEC = StateLogSpec("sums", "p.sums", "p.input", "p.checkpoint", 4, SumsFactory("p.output"))


@pytest.fixture
def make_app(tmp_path: Path) -> Callable[..., Any]:
    def make(traits: Any = KAFKA, positions: Any = dict, **settings: Any) -> Any:
        values = {"bootstrap_servers": "a:1,b:2", "instance_id": "pod-0", "state_dir": tmp_path, **settings}
        return build_app(Settings(**values), SPEC, traits, positions, lambda: None, Pulse(10))

    return make


def source(thing: Any) -> str:
    return inspect.getsource(thing)


def in_order(text: str, *parts: str) -> bool:
    at = -1
    for part in parts:
        at = text.find(part, at + 1)
        if at < 0:
            return False
    return True


def test_the_installed_versions_are_the_ones_that_were_read() -> None:
    internals.require_pinned_versions()


def test_another_version_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(internals, "VERSIONS", {"faust-streaming": "0.0"})

    with pytest.raises(internals.WrongVersionError, match=r"faust-streaming 0\.15\.3 installed"):
        internals.require_pinned_versions()


async def test_settings_that_keep_it_exact_reach_faust(make_app: Callable[..., Any]) -> None:
    conf = make_app().conf

    assert [str(url) for url in conf.broker] == ["kafka://a:1", "kafka://b:2"]
    assert conf.web_enabled is False
    assert conf.topic_allow_declare is False
    assert conf.topic_disable_leader is True
    assert conf.table_standby_replicas == 0
    assert conf.stream_wait_empty is False
    assert conf.processing_guarantee.value == "at_least_once"
    assert str(conf.store) == "memory:"
    assert (conf.broker_session_timeout, conf.broker_heartbeat_interval) == (10.0, 3.0)
    assert conf.consumer_group_instance_id == "pod-0-sums"
    assert conf.agent_supervisor.__name__ == "CrashingSupervisor"
    assert conf.id == "p.sums"


async def test_a_broker_without_static_membership_is_not_asked_for_it(make_app: Callable[..., Any]) -> None:
    assert make_app(TANSU).conf.consumer_group_instance_id is None


async def test_a_key_goes_where_librdkafka_sends_it_and_the_producer_is_told_so(
    make_app: Callable[..., Any],
) -> None:
    partitioner = make_app().producer.partitioner

    # The check value of CRC-32 is that of "123456789": 0xCBF43926.
    assert partitioner(b"123456789", [0, 1, 2, 3, 4, 5, 6], []) == 0xCBF43926 % 7
    assert {partitioner(b"key %d" % i, [0, 1, 2], []) for i in range(50)} == {0, 1, 2}


async def test_two_apps_share_a_process_but_no_directory(
    make_app: Callable[..., Any], tmp_path: Path
) -> None:
    assert make_app().conf.datadir == tmp_path / "faust" / "sums"


async def test_the_changelog_keeps_the_name_and_partitions_it_was_created_with(
    make_app: Callable[..., Any],
) -> None:
    app = make_app()
    table = internals.checkpoint_table(app, "p.checkpoint", 4, lambda: None)

    assert table.changelog_topic.get_topic_name() == "p.checkpoint"
    assert app.tables.changelog_topics == {"p.checkpoint"}
    ours, theirs = (
        table.changelog_topic,
        Collection._new_changelog_topic(table, retention=None, compacting=True),
    )
    for name in ("acks", "internal", "allow_empty", "maxsize", "partitions"):
        assert getattr(ours, name) == getattr(theirs, name), name


async def test_resuming_the_flow_clears_queues_so_it_is_stopped_first() -> None:
    """Trap: events fetched between `resume_partitions` and `flow_control.resume` at the end of a recovery are lost."""
    flow = FlowControlEvent()
    queue: Any = FlowControlQueue(flow_control=flow, clear_on_resume=True)
    queue.put_nowait("event")

    flow.resume()

    assert queue.empty()
    completed = source(Recovery.on_recovery_completed)
    assert in_order(
        completed,
        "table.on_recovery_completed(",
        "resume_partitions(",
        "perform_seek(",
        "flow_control.resume(",
    )


def test_exceptions_of_recovery_callbacks_are_swallowed_so_ours_ends_the_process() -> None:
    assert "await asyncio.wait(callback_coros)" in source(Recovery.on_recovery_completed)


async def test_messages_wait_while_the_flow_is_stopped(make_app: Callable[..., Any]) -> None:
    app = make_app()
    app.flow_control.resume()

    internals.stop_flow(app)

    assert app.consumer.flow_active is False
    assert app.flow_control.is_active() is False


async def test_perform_seek_goes_to_the_state_not_to_the_commits(make_app: Callable[..., Any]) -> None:
    """Trap: `seek_to_committed` skips partitions without a commit, and knows nothing of our checkpoints."""
    app = make_app(positions=lambda: {0: 17, 1: 0, 3: 5})
    consumer = app.consumer
    sought: dict[Any, int] = {}

    async def seek_wait(offsets: dict[Any, int]) -> None:
        sought.update(offsets)

    consumer.seek_wait = seek_wait
    consumer.assignment = lambda: {TP("p.input", 0), TP("p.input", 1), TP("p.checkpoint", 0)}

    await consumer.perform_seek()

    assert sought == {TP("p.input", 0): 17, TP("p.input", 1): 0}
    assert consumer._committed_offset[TP("p.input", 0)] == 17
    assert consumer._committed_offset[TP("p.input", 1)] is None
    for place in (Recovery.on_recovery_completed, BaseConsumer.getmany):
        assert "perform_seek()" in source(place)


async def test_commits_go_on_behind_a_jump_of_the_position(make_app: Callable[..., Any]) -> None:
    """Trap: `_new_offset` returns nothing while the first ack is more than one behind the committed offset."""
    consumer = make_app().consumer
    tp = TP("p.input", 0)
    consumer._committed_offset[tp] = 100
    consumer._acked[tp] = [100, 101]

    assert consumer._new_offset(tp) == 102


async def test_a_message_without_its_value_can_still_be_acked(make_app: Callable[..., Any]) -> None:
    app = make_app()
    app.topics._acking_topics.add("p.input")
    message = ConsumerMessage("p.input", 0, 7, 0.0, 0, None, b"k", b"v", None, tp=TP("p.input", 0))
    message.incref()
    message.value = None

    internals.ack(app, message)

    assert app.consumer._acked[TP("p.input", 0)] == [7]


async def test_a_recovery_after_a_revocation_reads_from_the_beginning(make_app: Callable[..., Any]) -> None:
    app = make_app()
    table = internals.checkpoint_table(app, "p.checkpoint", 4, lambda: None)
    recovery = app.tables.recovery
    recovery.add_active(table, TP("p.checkpoint", 0))
    recovery.active_offsets[TP("p.checkpoint", 0)] = 55
    table.data.data[b"key"] = b"value"
    assert internals.changelog(table) == [(b"key", b"value")]

    internals.forget_changelog(app, table)

    assert TP("p.checkpoint", 0) not in recovery.active_offsets
    assert internals.changelog(table) == []


async def test_a_row_fetched_for_an_earlier_assignment_is_not_seen_by_recovery(
    make_app: Callable[..., Any],
) -> None:
    """Its offset would stand for all that was read: recovery would skip every row before it (exit 74, seen at joins)."""
    app, assigned = make_app(), [False]
    internals.drop_stale_changelog(app, lambda: assigned[0])
    app.consumer_generation_id = 7
    queue = app.tables.changelog_queue

    def row(generation_id: int, offset: int) -> Any:
        return SimpleNamespace(message=SimpleNamespace(generation_id=generation_id, offset=offset))

    app.flow_control.resume()
    queue.put_nowait(row(7, 900))  # revoked, and the next assignment not here yet
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assigned[0] = True
    queue.put_nowait(row(6, 901))
    queue.put_nowait(row(7, 0))

    assert (await asyncio.wait_for(reading, 5)).message.offset == 0
    assert "changelog_queue.get(), timeout=" in source(Recovery._slurp_changelogs.fun)
    assert "generation" not in source(Recovery._slurp_changelogs.fun)


async def test_outputs_do_not_wait_for_the_event_that_caused_them(make_app: Callable[..., Any]) -> None:
    """Trap: `Topic.send` attaches a message to the current event where attachments are on; we go past it."""
    app = make_app()
    sent: list[Any] = []

    async def send(*arguments: Any) -> None:
        sent.append(arguments)

    app.producer.send = send
    await internals.send(
        app, SimpleNamespace(topic="t", key=b"k", value=None, partition=2, headers=(("h", b"1"),))
    )

    assert sent == [("t", b"k", None, 2, None, [("h", b"1")])]


class Coordinator:
    """The parts of aiokafka's that are watched."""

    def __init__(self, generation: int, instance_id: str | None) -> None:
        self.generation = generation
        self._group_instance_id = instance_id
        self._closing: asyncio.Future[None] = asyncio.Future()

    def reset_generation(self) -> None:
        self.generation = -1


@pytest.mark.parametrize(
    ("generation", "instance_id", "closing", "lost"),
    [(3, "pod-0", False, 1), (-1, "pod-0", False, 0), (3, None, False, 0), (3, "pod-0", True, 0)],
    ids=["a static member", "not yet a member", "a dynamic member may rejoin", "it leaves by itself"],
)
async def test_a_static_member_that_the_group_forgot_ends_itself(
    generation: int, instance_id: str | None, closing: bool, lost: int
) -> None:
    coordinator, calls = Coordinator(generation, instance_id), []
    if closing:
        coordinator._closing.set_result(None)
    internals.watch_membership(coordinator, lambda: calls.append(1))

    coordinator.reset_generation()

    assert len(calls) == lost
    assert coordinator.generation == -1


async def test_an_accepted_heartbeat_renews_the_lease_from_when_it_was_asked() -> None:
    class Beating:
        accepts = True

        async def _do_heartbeat(self) -> bool:
            return self.accepts

    coordinator, renewed = Beating(), []
    internals.watch_heartbeats(coordinator, renewed.append)
    before = time.monotonic()

    assert await coordinator._do_heartbeat()
    coordinator.accepts = False
    assert not await coordinator._do_heartbeat()

    assert len(renewed) == 1
    assert before <= renewed[0] <= time.monotonic()
    assert "success = await self._do_heartbeat()" in source(GroupCoordinator._heartbeat_routine)


async def test_the_producer_asks_the_pulse_before_every_request(make_app: Callable[..., Any]) -> None:
    app = make_app()
    checks = []
    app.producer_transport.pulse.check = lambda: checks.append(1)

    client = app.producer._new_producer().client
    with pytest.raises(NodeNotReadyError):
        await client.send(7, None)

    assert checks == [1]
    # Nothing may be awaited between the check and the socket.
    assert in_order(source(AIOKafkaClient.send), "await self.ready(", ".send(", "await future")
    assert source(AIOKafkaClient.send).count("await ") == 2


def test_aiokafka_still_rejoins_by_reset_generation_and_keeps_errors_for_a_fetch() -> None:
    text = source(GroupCoordinator)
    assert text.count("self.reset_generation()") >= 4
    for attribute in ("self._closing", "self._group_instance_id", "self._pending_exception = None"):
        assert attribute in text
    assert "check_errors" not in source(AIOKafkaConsumerThread._fetch_records)


async def test_an_error_of_the_group_is_seen(make_app: Callable[..., Any]) -> None:
    app = make_app()
    assert internals.group_error(app) is None
    error = RuntimeError("not authorised")
    app.consumer._thread._consumer = SimpleNamespace(_coordinator=SimpleNamespace(_pending_exception=error))

    assert internals.group_error(app) is error


def test_the_assignment_is_announced_before_its_recovery_can_end() -> None:
    """Between `signal_recovery_start.set()` and the signal to us nothing yields to the recovery's task."""
    assigned = source(App._on_partitions_assigned)
    assert in_order(
        assigned, "await T(self.tables.on_rebalance)(", "await T(self.on_partitions_assigned.send)("
    )
    after_start = source(Recovery.on_rebalance).partition("signal_recovery_start.set()")[2]
    assert "await" not in after_start
    assert "await" not in source(TableManager.on_rebalance).partition("self.recovery.on_rebalance)(")[2]


async def test_what_recovery_says_of_its_generation_is_there(make_app: Callable[..., Any]) -> None:
    app = make_app()
    app.consumer_generation_id = 4

    assert internals.recovered_generation(app) == 0
    assert internals.generation(app) == 4
    assert internals.assigned_partitions(app, "p.input") == set()
    assert internals.crash_reason(app) is None


def test_our_way_to_register_the_agent_leaves_out_nothing_but_venusian() -> None:
    """Else what App.agent does besides would be missing for ours."""
    body = source(App.agent).partition("def _inner(")[2]
    steps = [line.strip() for line in body.partition("            self.agents[")[2].splitlines()]

    assert [step for step in steps if step and not step.startswith("#")] == [
        "agent.name] = agent", "self.topics.beacon.add(agent)", "venusian.attach(agent, category=SCAN_AGENT)",
        "return agent", "return _inner",
    ]  # fmt: skip


async def test_tables_start_as_in_faust_but_for_its_sleep(make_app: Callable[..., Any]) -> None:
    steps = [line.strip() for line in source(TableManager.on_start).splitlines()]

    assert steps[2:] == [
        "await self.sleep(1.0)", "if not self.should_stop:", "await self._update_channels()",
        "await self.recovery.start()",
    ]  # fmt: skip
    assert isinstance(make_app().tables, internals.PromptTableManager)


def test_what_faust_finds_of_standing_partitions_is_only_logged() -> None:
    """Else leaving it out would leave out more than lines that our watchdog is the louder for."""
    found = source(AIOKafkaConsumerThread.verify_event_path)

    assert "raise" not in found
    assert "crash" not in found
    assert source(BaseConsumer).count("self.verify_all_partitions_active()") == 1


async def test_the_agent_takes_bytes_and_one_event_at_a_time(make_app: Callable[..., Any]) -> None:
    app = make_app()

    async def process(stream: Any) -> None: ...

    internals.agent(app, input_topic(app, SPEC), "sums", process)

    (agent,) = app.agents.values()
    assert agent.concurrency == 1
    assert (agent.channel.key_type, agent.channel.value_type) == (bytes, bytes)
