"""The faults of a run: a schedule made from the seed, and how each is done to a fleet."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.fleet import Fleet, Member
    from tests.support.kafka_cluster import KafkaCluster

PLACES: Final = {
    "ingest": ("fence", "slice", "slice"),
    "agents": ("emit", "rows", "head", "ack", "tombstones"),
    "decider": ("emit", "rows", "head", "ack", "tombstones"),
    "notify": (),
}
TRAP_SECONDS: Final = 10.0
"""A trap that was not sprung by then is taken away, and the process killed or stopped wherever it is."""

VICTIM_SECONDS: Final = 30.0
SESSION_SECONDS: Final = 10.0


class Fault(NamedTuple):
    """One thing that happens. `seconds`: how long it lasts; `place`: see `worker.py`, "" is wherever it is."""

    at_s: float
    kind: str
    name: str = ""
    place: str = ""
    count: int = 1
    seconds: float = 0.0

    def __str__(self) -> str:
        what = f"{self.kind} {self.name}".strip() + (f" at {self.place} {self.count}" if self.place else "")
        return f"{self.at_s:5.1f} s {what}" + (f" for {self.seconds:.1f} s" if self.seconds else "")


class Numbers(NamedTuple):
    """How many faults of each kind a run has."""

    kills: int = 20
    zombies: int = 4
    broker_restarts: int = 1
    stalls: int = 1
    leaves: int = 1
    joins: int = 1
    doubled_deciders: int = 1
    losses: int = 1
    groups_down: int = 1


def schedule(seed: int, seconds: float, numbers: Numbers, workers: int) -> list[Fault]:
    """All faults of a run, by time. Zombies and broker faults leave room for what they last."""
    rng = random.Random(f"faults {seed}")
    letters = "abc"[:workers]
    stages = [f"{role}-{letter}" for role in ("ingest", "agents") for letter in letters]
    victims = [*stages, *stages, *stages, "decider-a", "decider-a", "notify-a"]
    faults = [_kill(rng, rng.uniform(0, seconds), rng.choice(victims)) for _ in range(numbers.kills)]
    for number in range(numbers.zombies):
        name = (rng.choice(stages), "decider-a")[number % 4 == 2]
        usurped = rng.random() < 0.4 and not name.startswith("ingest")
        place = rng.choice((*PLACES[name.partition("-")[0]], ""))
        kind, lasts = "usurp" if usurped else "zombie", rng.uniform(SESSION_SECONDS + 1, SESSION_SECONDS + 5)
        at = rng.uniform(0, max(seconds - 20, 1))
        faults.append(Fault(at, kind, name, place, rng.randrange(1, 6), lasts))
    several = _few_of_each(rng, seconds, numbers, stages)
    return sorted([*faults, *several])


def _few_of_each(rng: random.Random, seconds: float, numbers: Numbers, stages: list[str]) -> list[Fault]:
    """Everything but kills and zombies."""

    def times(count: int, kind: Callable[[], Fault]) -> list[Fault]:
        return [kind() for _ in range(count)]

    def at(earliest: float, latest: float) -> float:
        return rng.uniform(earliest, latest) * seconds

    return [
        *times(numbers.broker_restarts, lambda: Fault(
            at(0.2, 0.8), rng.choice(("broker-kill", "broker-stop")), seconds=rng.uniform(0, 4))),
        *times(numbers.stalls, lambda: Fault(at(0.1, 0.9), "broker-stall", seconds=rng.uniform(3, 20))),
        *times(numbers.leaves, lambda: Fault(at(0, 1), "leave", rng.choice(stages), seconds=rng.uniform(0, 15))),
        *times(numbers.joins, lambda: Fault(
            at(0, 0.7), "join", rng.choice(("ingest-x", "agents-x")), seconds=rng.uniform(12, 30))),
        *times(numbers.doubled_deciders, lambda: Fault(at(0, 0.7), "join", "decider-b", seconds=rng.uniform(12, 30))),
        *times(numbers.losses, lambda: Fault(at(0, 1), rng.choice(("lose-state", "corrupt-state")), rng.choice(stages))),
        *times(numbers.groups_down, lambda: Fault(at(0.3, 0.7), "group-down", seconds=rng.uniform(1, 12))),
    ]  # fmt: skip


def _kill(rng: random.Random, at_s: float, name: str) -> Fault:
    places = PLACES[name.partition("-")[0]]
    place = rng.choice(places) if places and rng.random() < 0.5 else ""
    return Fault(at_s, "kill", name, place, rng.randrange(1, 7))


class Chaos:
    """Does what the schedule says; faults may overlap.

    Attributes:
        done: counts by kind, and of traps that were sprung by place.
    """

    def __init__(
        self, fleet: Fleet, broker: KafkaCluster, faults: list[Fault], note: Callable[[str], Any]
    ) -> None:
        self._fleet, self._kafka, self._faults, self._note = fleet, broker, faults, note
        self._broker_lock = asyncio.Lock()
        self._group_down = False
        self.done: Counter[str] = Counter()
        self.began = time.monotonic()

    async def run(self) -> None:
        """Until every fault is over; whatever dies meanwhile is started again."""
        self.began = time.monotonic()
        reviving = asyncio.create_task(self._revive())
        try:
            async with asyncio.TaskGroup() as group:
                for fault in self._faults:
                    await asyncio.sleep(max(0.0, self.began + fault.at_s - time.monotonic()))
                    group.create_task(self._do(fault))
        finally:
            reviving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reviving

    async def _revive(self) -> None:
        while True:
            if not self._group_down:
                self._fleet.revive()
            await asyncio.sleep(0.3)

    async def _do(self, fault: Fault) -> None:
        action = getattr(self, "_" + fault.kind.partition("-")[0])
        await action(fault)

    async def _victim(self, fault: Fault) -> Member | None:
        """The worker, once it lives and is not stopped, and works if it is to die at a place; None: it does not come."""
        deadline = time.monotonic() + VICTIM_SECONDS
        while time.monotonic() < deadline:
            member = self._fleet.members.get(fault.name)
            if member is not None and member.running and not member.stopped:
                working = not fault.place or await asyncio.to_thread(self._fleet.member_ready, member)
                if working or time.monotonic() > deadline - VICTIM_SECONDS / 3:
                    return member
            await asyncio.sleep(0.3)
        return None

    async def _trap(self, member: Member, fault: Fault, action: str) -> bool:
        """Whether the process killed or stopped itself at the place."""
        if not fault.place:
            return False
        self._fleet.set_trap(member, fault.place, action, fault.count if fault.place == "slice" else 1)
        deadline = time.monotonic() + TRAP_SECONDS
        while time.monotonic() < deadline and member.running:
            if action == "stop" and _is_stopped(member):
                break
            await asyncio.sleep(0.05)
        sprung = self._fleet.spare(member)
        self.done[f"{action} in {fault.place}"] += sprung
        return sprung

    async def _kill(self, fault: Fault) -> None:
        member = await self._victim(fault)
        if member is None:
            return
        self._note(str(fault))
        if not await self._trap(member, fault, "kill"):
            member.process.kill()
        await asyncio.to_thread(member.process.wait)
        self.done["kills"] += 1

    async def _zombie(self, fault: Fault) -> None:
        """Stand still for longer than the session, and go on."""
        member = await self._victim(fault)
        if member is None:
            return
        self._note(str(fault))
        member.stopped = True
        await self._trap(member, fault, "stop")
        self._fleet.stop(member)
        await asyncio.sleep(fault.seconds)
        self._fleet.resume(member)
        self.done["zombies"] += 1

    async def _usurp(self, fault: Fault) -> None:
        """Another process takes the place under the same id while it stands still; then both live for a while."""
        member = await self._victim(fault)
        if member is None:
            return
        self._note(str(fault))
        member.stopped = True
        await self._trap(member, fault, "stop")
        self._fleet.stop(member)
        if self._fleet.members.pop(fault.name, None) is not member:
            member.process.kill()
            return
        self._fleet.zombies.append(member)
        self._fleet.start(fault.name, instance_id=member.instance_id)
        await asyncio.sleep(fault.seconds)
        self._fleet.resume(member)
        self.done["zombies"] += 1
        self.done["usurped"] += 1
        await asyncio.sleep(8)
        if member.running:
            member.process.kill()

    async def _broker(self, fault: Fault) -> None:
        async with self._broker_lock:
            self._note(str(fault))
            if fault.kind == "broker-stall":
                await asyncio.to_thread(self._kafka.pause)
                await asyncio.sleep(fault.seconds)
                self._kafka.resume()
                self.done["broker stalls"] += 1
                return
            await asyncio.to_thread(self._kafka.kill if fault.kind == "broker-kill" else self._kafka.stop)
            await asyncio.sleep(fault.seconds)
            await asyncio.to_thread(self._kafka.start)
            self.done["broker restarts"] += 1

    async def _leave(self, fault: Fault) -> None:
        """A graceful leave, and back after a while."""
        member = await self._victim(fault)
        if member is None:
            return
        self._note(str(fault))
        code = await asyncio.to_thread(self._fleet.terminate, fault.name)
        self.done["graceful leaves"] += 1
        self.done["graceful leaves that were not"] += code != 0
        await asyncio.sleep(fault.seconds)
        self._fleet.again(member)

    async def _join(self, fault: Fault) -> None:
        """One more of a role for a while; it leaves as it may."""
        self._note(str(fault))
        self._fleet.start(fault.name)
        await asyncio.sleep(fault.seconds)
        if int(fault.seconds) % 2:
            self._fleet.kill(fault.name)
        else:
            await asyncio.to_thread(self._fleet.terminate, fault.name)
        self.done["joins"] += 1

    async def _lose(self, fault: Fault) -> None:
        await self._restate(fault, self._fleet.lose_state)

    async def _corrupt(self, fault: Fault) -> None:
        await self._restate(fault, self._fleet.corrupt_state)

    async def _restate(self, fault: Fault, change: Callable[[Member], None]) -> None:
        """While it is down its local directory is lost, or holds rubbish."""
        member = await self._victim(fault)
        if member is None:
            return
        self._note(str(fault))
        member = self._fleet.kill(fault.name)
        change(member)
        self._fleet.again(member)
        self.done["state lost or corrupted"] += 1

    async def _group(self, fault: Fault) -> None:
        """Everything down at once, and up again."""
        self._note(str(fault))
        self._group_down = True
        try:
            for member in list(self._fleet.members.values()):
                if not member.stopped:
                    member.process.kill()
            await asyncio.sleep(fault.seconds)
        finally:
            self._group_down = False
        self.done["group down"] += 1


def _is_stopped(member: Member) -> bool:
    try:
        stat = Path(f"/proc/{member.process.pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "T"
