"""What an owner does with the messages, recoveries and revocations that Faust brings."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from tests.integration.statelog_worker import SumsCore, SumsFactory

from tokenfuse.contracts.formats import UnknownFormatError
from tokenfuse.runtime.statelog import checkpoint as checkpoint_module, owner as owner_module, watchdog
from tokenfuse.runtime.statelog.checkpoint import Checkpointer
from tokenfuse.runtime.statelog.core import InputGapError, Output
from tokenfuse.runtime.statelog.exits import ExitReason
from tokenfuse.runtime.statelog.owner import Owner, StateLogSpec
from tokenfuse.runtime.statelog.partition import SENT_MIN, Partition
from tokenfuse.runtime.statelog.watchdog import Pulse, Watchdog

SPEC = StateLogSpec("sums", "g", "input", "checkpoint", 2, SumsFactory("output"))
VALUE = json.dumps({"pane": 1, "amounts": {"a": 1, "b": 2}}).encode()


class ExitedError(BaseException):
    """Instead of the end of the process."""

    def __init__(self, reason: ExitReason) -> None:
        self.reason = reason


@pytest.fixture(autouse=True)
def _no_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(reason: ExitReason, **_: Any) -> NoReturn:
        raise ExitedError(reason)

    for module in (owner_module, checkpoint_module, watchdog):
        monkeypatch.setattr(module, "die", die)


class Shell:
    """What Faust is to an owner: a producer that can fail, acks, and the changelog it wrote."""

    def __init__(self) -> None:
        self.sent: list[Output] = []
        self.acked: list[int] = []
        self.ready: list[bool] = []
        self.failing: str | None = None
        self.on_send: Any = lambda _output: None
        self.unanswered: list[asyncio.Future[None]] | None = None
        self.pulse = Pulse(10)
        self.owner = Owner(SPEC, self.send, self.ack, self.pulse, self.ready.append)
        self.checkpointer = Checkpointer(self.owner, self.send, self.ack, self.pulse, 0)

    async def send(self, output: Output) -> asyncio.Future[None]:
        self.on_send(output)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if output.topic == self.failing:
            done.set_exception(RuntimeError("no leader"))
        else:
            self.sent.append(output)
            if self.unanswered is None:
                done.set_result(None)
            else:
                self.unanswered.append(done)
        return done

    async def answer(self) -> None:
        """The broker has everything that was sent so far; what follows from that is sent."""
        assert self.unanswered
        for done in self.unanswered:
            done.set_result(None)
        self.unanswered.clear()
        async with asyncio.timeout(30):  # a cut that took long is followed by a rest
            while not (self.unanswered or self.acked):  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(0.01)
        for _ in range(10):
            await asyncio.sleep(0)

    def ack(self, message: Any) -> None:
        self.acked.append(message.offset)

    def changelog(self) -> list[tuple[bytes, bytes | None]]:
        return [(o.key or b"", o.value) for o in self.sent if o.topic == "checkpoint"]

    async def take(self, *offsets: int, generation: int = 1, value: bytes = VALUE) -> None:
        for offset in offsets:
            await self.owner.take(
                SimpleNamespace(partition=0, offset=offset, generation_id=generation, value=value)
            )

    async def checkpoint(self) -> None:
        await self.checkpointer.write([p for p in self.owner.partitions.values() if p.unsettled])

    def applied(self) -> int:
        core = self.owner.core(0)
        assert isinstance(core, SumsCore)
        return core.applied


@pytest.fixture
async def shell() -> Shell:
    shell = Shell()
    shell.owner.assigned()
    shell.owner.recovered(1, [0], [])
    return shell


async def test_messages_are_applied_in_order_and_acked_by_the_checkpoint_only(shell: Shell) -> None:
    await shell.take(0, 1, 2)
    assert (shell.applied(), shell.acked) == (3, [])

    await shell.checkpoint()

    assert shell.acked == [0, 1, 2]


async def test_outputs_leave_at_once(shell: Shell) -> None:
    await shell.take(0)

    assert [output.topic for output in shell.sent] == ["output"]


async def test_a_lower_offset_is_acked_and_skipped(shell: Shell) -> None:
    await shell.take(0, 1)
    await shell.take(0)

    assert (shell.applied(), shell.acked) == (2, [0])


async def test_a_higher_offset_ends_the_process(shell: Shell) -> None:
    await shell.take(0)

    with pytest.raises(ExitedError) as exited:
        await shell.take(2)

    assert exited.value.reason is ExitReason.INPUT_GAP


async def test_a_message_of_an_earlier_assignment_is_neither_applied_nor_acked(shell: Shell) -> None:
    await shell.take(0, generation=0)

    assert (shell.applied(), shell.acked) == (0, [])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnknownFormatError("format 9"), ExitReason.UNKNOWN_FORMAT),
        (InputGapError("hole"), ExitReason.INPUT_GAP),
        (ZeroDivisionError(), ExitReason.CORE_FAILED),
    ],
)
async def test_what_the_core_cannot_take_ends_the_process_with_its_reason(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: ExitReason
) -> None:
    def apply(*_: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(SumsCore, "apply", apply)

    with pytest.raises(ExitedError) as exited:
        await shell.take(0)

    assert exited.value.reason is reason


async def test_a_revocation_drops_everything_and_says_so(shell: Shell) -> None:
    await shell.take(0)

    shell.owner.revoked()
    await shell.take(1)

    assert (shell.owner.positions(), shell.acked, shell.ready) == ({}, [], [True, False])


async def test_a_recovery_that_ends_after_a_revocation_takes_nothing(shell: Shell) -> None:
    shell.owner.revoked()

    assert shell.owner.recovered(1, [0], []) is False
    assert shell.owner.positions() == {}
    shell.owner.assigned()
    assert shell.owner.recovered(2, [0, 1], []) is True
    assert shell.owner.positions() == {0: 0, 1: 0}


async def test_state_comes_back_from_the_changelog(shell: Shell) -> None:
    await shell.take(0, 1)
    await shell.checkpoint()
    await shell.take(2)

    shell.owner.revoked()
    shell.owner.assigned()
    shell.owner.recovered(2, [0], dict(shell.changelog()).items())

    assert (shell.owner.positions(), shell.applied()) == ({0: 2}, 2)


async def test_a_checkpoint_is_outputs_then_rows_then_head_then_deletions(shell: Shell) -> None:
    await shell.take(0)
    await shell.checkpoint()
    shell.owner.revoked()
    shell.owner.assigned()
    shell.owner.recovered(2, [0], dict(shell.changelog()).items())
    before = len(shell.sent)
    await shell.take(1, generation=2)

    await shell.checkpoint()

    kinds = [
        "output"
        if o.topic == "output"
        else "gone"
        if o.value is None
        else "head"
        if b"|head" in (o.key or b"")
        else "row"
        for o in shell.sent[before:]
    ]
    assert kinds == sorted(kinds, key=["output", "row", "head", "gone"].index)
    assert set(kinds) == {"output", "row", "head", "gone"}


async def test_every_step_of_a_checkpoint_waits_until_the_one_before_it_is_durable(shell: Shell) -> None:
    """Sent in order is not enough: a broker may take the head and refuse an output or a row before it."""
    shell.unanswered = []
    await shell.take(0)
    writing = asyncio.create_task(shell.checkpoint())
    await asyncio.sleep(0)
    assert shell.changelog() == []

    await shell.answer()  # the outputs
    assert shell.changelog()
    assert not [key for key, _ in shell.changelog() if b"|head" in key]

    await shell.answer()  # the rows
    assert [key for key, _ in shell.changelog() if b"|head" in key]
    assert shell.acked == []

    await shell.answer()  # the head
    await writing
    assert shell.acked == [0]


async def test_a_checkpoint_that_loses_its_assignment_neither_acks_nor_deletes(shell: Shell) -> None:
    await shell.take(0)
    await shell.checkpoint()
    shell.owner.revoked()
    shell.owner.assigned()
    shell.owner.recovered(2, [0], dict(shell.changelog()).items())
    await shell.take(1, generation=2)
    acked = list(shell.acked)
    shell.on_send = lambda output: b"|head" in (output.key or b"") and shell.owner.revoked()

    await shell.checkpoint()

    assert shell.acked == acked
    assert not [output for output in shell.sent if output.value is None]


@pytest.mark.parametrize("topic", ["output", "checkpoint"])
async def test_a_checkpoint_that_fails_ends_the_process_before_any_ack(shell: Shell, topic: str) -> None:
    shell.failing = topic
    await shell.take(0)

    with pytest.raises(ExitedError) as exited:
        await shell.checkpoint()

    assert (exited.value.reason, shell.acked) == (ExitReason.CHECKPOINT_FAILED, [])


async def test_messages_during_a_checkpoint_belong_to_the_next(shell: Shell) -> None:
    await shell.take(0)
    late: list[asyncio.Task[None]] = []

    def take_another(output: Output) -> None:
        if output.topic == "checkpoint" and not late:
            late.append(asyncio.create_task(shell.take(1)))

    shell.on_send = take_another
    await shell.checkpoint()
    await late[0]

    assert (shell.acked, shell.owner.positions()) == ([0], {0: 2})
    await shell.checkpoint()
    assert shell.acked == [0, 1]


async def test_cuts_take_a_tenth_of_a_worker_at_most_and_checkpoints_are_never_far_apart(
    shell: Shell,
) -> None:
    shell.owner.recovered(2, [0, 1, 2, 3], [])
    checkpointer = Checkpointer(shell.owner, shell.send, shell.ack, shell.pulse, 2.0)
    partition, paces = next(iter(shell.owner.partitions.values())), []
    for partition.cut_seconds in (0.0, 0.01, 0.1, 3.0):
        paces.append(checkpointer.pace(partition))

    assert paces == [2.0, 2.0, 4.0, 60.0]


async def test_a_refused_output_fails_the_checkpoint_however_many_the_broker_took_after_it(
    shell: Shell,
) -> None:
    shell.failing = "output"
    await shell.take(0)
    shell.failing = None
    await shell.take(*range(1, 2000))

    with pytest.raises(ExitedError) as exited:
        await shell.checkpoint()

    assert exited.value.reason is ExitReason.CHECKPOINT_FAILED


async def test_outputs_that_the_broker_has_are_not_kept_until_the_checkpoint(shell: Shell) -> None:
    await shell.take(*range(5000))

    assert len(shell.owner.partitions[0]._sent) <= SENT_MIN


async def test_messages_have_a_turn_between_the_cuts_of_two_partitions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell, turns = Shell(), []
    shell.owner.assigned()
    shell.owner.recovered(1, [0, 1], [])
    for index in (0, 1):
        await shell.owner.take(SimpleNamespace(partition=index, offset=0, generation_id=1, value=VALUE))
    cut = Partition.cut

    async def noted(partition: Partition) -> Any:
        turns.append(f"cut {partition.index}")
        return await cut(partition)

    async def message() -> None:
        turns.append("message")

    monkeypatch.setattr(Partition, "cut", noted)
    await asyncio.gather(shell.checkpoint(), message())

    assert turns == ["cut 0", "message", "cut 1"]


async def test_no_checkpoint_follows_the_last_one(shell: Shell) -> None:
    await shell.take(0)
    await shell.checkpointer.finish()
    written = len(shell.sent)
    await shell.take(1)

    await shell.checkpoint()

    assert len(shell.sent) == written + 1  # the output of the message, no row


async def test_who_stood_still_too_long_ends_before_anything_leaves(shell: Shell) -> None:
    now = 0.0
    pulse = Pulse(10, lambda: now)
    pulse.renewed(0.0)
    pulse.check()
    now = 10.5

    with pytest.raises(ExitedError) as exited:
        pulse.check()

    assert exited.value.reason is ExitReason.SUSPENDED


def test_a_stop_within_the_session_ends_the_process_if_the_last_heartbeat_was_before_it(shell: Shell) -> None:
    """Heartbeats come every 3 s: a stop of 8 s may end 11 s after the last one, and another may own the partitions."""
    now = 0.0
    pulse = Pulse(10, lambda: now)
    pulse.renewed(-2.5)
    now = 8.0

    with pytest.raises(ExitedError) as exited:
        pulse.check()

    assert exited.value.reason is ExitReason.SUSPENDED


def test_a_silent_broker_and_a_short_stop_end_nothing(shell: Shell) -> None:
    now = 0.0
    pulse = Pulse(10, lambda: now)
    pulse.renewed(-30)
    now = 1.0  # the loop runs; the broker has not answered for half a minute
    pulse.check()
    pulse.renewed(0.5)
    now = 8.0  # stopped, and back within the session
    pulse.check()
    pulse.released()
    now = 20.0  # who owns nothing has nothing to lose
    pulse.check()


def test_a_loop_that_is_slow_while_its_heartbeats_go_on_ends_nothing(shell: Shell) -> None:
    """A starved machine, or a large state read back: the consumer's own thread keeps the place."""
    now = 0.0
    pulse = Pulse(10, lambda: now)
    now = 15.0
    pulse.renewed(12.0)
    pulse.check()


def dog(
    shell: Shell, progress: Any = lambda: 0, ends: dict[int, int] | None = None, error: Any = None
) -> Watchdog:
    async def end_offsets() -> dict[int, int]:
        return ends or {}

    return Watchdog(shell.owner, lambda: error, progress, end_offsets, 1.0)


async def test_a_recovery_without_progress_ends_the_process(shell: Shell) -> None:
    read = [0]
    shell.owner.revoked()
    watch = dog(shell, lambda: read[0])
    for now in (0.0, 50.0, 100.0, 150.0):
        read[0] += 1
        watch.check_recovery(now)
    watch.check_recovery(200.0)

    with pytest.raises(ExitedError) as exited:
        watch.check_recovery(215.0)

    assert exited.value.reason is ExitReason.RECOVERY_STALLED


async def test_checkpoints_that_stand_still_while_input_moves_end_the_process(shell: Shell) -> None:
    await shell.take(0)
    since = shell.owner.partitions[0].unsettled_since
    watch = dog(shell)
    watch.check_checkpoints(since + 100)

    with pytest.raises(ExitedError) as exited:
        watch.check_checkpoints(since + 122)

    assert exited.value.reason is ExitReason.CHECKPOINT_STALLED


async def test_an_idle_partition_is_not_stalled(shell: Shell) -> None:
    watch = dog(shell, ends={0: 0})
    for now in (0.0, 100.0, 200.0):
        watch.check_checkpoints(now)
        await watch.check_input(now)


async def test_input_that_grows_but_does_not_come_ends_the_process(shell: Shell) -> None:
    watch = dog(shell, ends={0: 5})
    for now in (0.0, 30.0, 60.0):
        await watch.check_input(now)

    with pytest.raises(ExitedError) as exited:
        await watch.check_input(95.0)

    assert exited.value.reason is ExitReason.INPUT_STALLED


async def test_input_that_comes_slowly_is_not_stalled(shell: Shell) -> None:
    watch = dog(shell, ends={0: 500})
    for offset in range(5):
        await watch.check_input(offset * 50.0)
        await shell.take(offset)


async def test_a_group_that_refuses_us_ends_the_process(shell: Shell) -> None:
    with pytest.raises(ExitedError) as exited:
        dog(shell, error=RuntimeError("not authorised")).check_group()

    assert exited.value.reason is ExitReason.GROUP_FAILED


def test_exit_codes_are_unique_and_none_means_success() -> None:
    codes = [reason.code for reason in ExitReason]
    assert len(set(codes)) == len(codes)
    assert all(70 <= code < 90 for code in codes)
