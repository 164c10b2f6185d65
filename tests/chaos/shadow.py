"""The same logs through the pure cores, without a fault: what agents and decider must have said."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from tokenfuse.contracts.block import DeltaBlock, decode_block
from tokenfuse.contracts.killswitch import HEARTBEAT
from tokenfuse.contracts.signal import CommandSignal, decode_signal
from tokenfuse.runtime.agents import agents_spec
from tokenfuse.runtime.decider import decider_spec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.chaos.logs import Line

    from tokenfuse.contracts.killswitch import Switch
    from tokenfuse.runtime.settings import Settings


class Shadow:
    """Replays the deltas topic through agents, and the signals topic as it stands through a decider.

    Attributes:
        signals: what the agents must have said. alerts: values by key, in their order.
        switches: (key, generation, value) of every change. engaged_at: generation and key to whether it stood then.
    """

    def __init__(self, settings: Settings) -> None:
        agents, decider = agents_spec(settings), decider_spec(settings)
        self._signals_topic = settings.topic("tokenfuse.signals")
        self._alerts_topic = settings.topic("tokenfuse.alerts")
        self._switch_topic = settings.topic("tokenfuse.killswitch")
        self._agents = [agents.factory.empty(number) for number in range(agents.partitions)]
        self._decider: Any = decider.factory.empty(0)
        self._copies: dict[tuple[int, int, int], Counter[int]] = defaultdict(Counter)
        self._partitions = agents.partitions
        self.signals: set[bytes] = set()
        self.alerts: dict[bytes, list[bytes]] = defaultdict(list)
        self.switches: set[tuple[bytes, bytes | None]] = set()
        self.standing: dict[bytes, list[tuple[int, bool]]] = defaultdict(list)

    def read_deltas(self, lines: Iterable[Line]) -> None:
        """The next records of the deltas topic."""
        for line in lines:
            assert line.value is not None
            block = decode_block(line.value)
            if isinstance(block, DeltaBlock):
                self._copies[block.source, block.a, block.b][line.partition] += 1
            for output in self._agents[line.partition].apply(line.offset, line.value):
                if output.topic == self._signals_topic:
                    self.signals.add(output.value or b"")

    def read_signals(self, lines: Iterable[Line]) -> None:
        """The next records of the signals topic."""
        for line in lines:
            assert line.value is not None
            for output in self._decider.apply(line.offset, line.value):
                if output.topic == self._alerts_topic:
                    self.alerts[output.key].append(output.value or b"")
                elif output.topic == self._switch_topic:
                    self.switches.add((output.key, output.value))
                    if output.key != HEARTBEAT.encode():
                        self.standing[output.key].append((line.offset, output.value is not None))

    @property
    def engaged(self) -> dict[str, Switch]:
        """What the decider holds at the end of the log."""
        engaged: dict[str, Switch] = self._decider.core.engaged()
        return engaged

    def stood(self, key: bytes, generation: int) -> bool:
        """Whether a switch stood after the signal at this offset."""
        before = [stands for offset, stands in self.standing[key] if offset <= generation]
        return before[-1] if before else False

    @property
    def cut_again(self) -> tuple[int, int]:
        """Slices whose blocks are on the topic more than once: all of them, and those that were half out at first."""
        again = [copies for copies in self._copies.values() if max(copies.values()) > 1]
        half = [c for c in again if len({c[number] for number in range(self._partitions)}) > 1]
        return len(again), len(half)


def is_command(value: bytes) -> bool:
    """Whether a signal is an operator's."""
    return isinstance(decode_signal(value), CommandSignal)
