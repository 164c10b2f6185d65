"""AGENTS: `tokenfuse.deltas` in, verdict changes and rollups out. The arithmetic is in `decide.agent`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from tokenfuse.contracts.block import decode_block
from tokenfuse.contracts.rollup import Rollup, encode_rollup, rollup_key
from tokenfuse.contracts.signal import Signal, Verdict, encode_signal
from tokenfuse.contracts.topics import AGENTS_CHECKPOINT, DELTAS, ROLLUPS, SIGNALS
from tokenfuse.decide.agent import AgentConfig, AgentCore
from tokenfuse.decide.standings import STANDING_MAX
from tokenfuse.runtime import metrics
from tokenfuse.runtime.seldom import Seldom
from tokenfuse.runtime.statelog.core import InputGapError, Output
from tokenfuse.runtime.statelog.owner import StateLogSpec
from tokenfuse.runtime.statelog.run import prepare
from tokenfuse.windows.clocks import SliceGapError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from tokenfuse.runtime.settings import Settings

log = structlog.get_logger(__name__)

GROUP: Final = "tokenfuse.agents"


async def run_agents(settings: Settings, stop: asyncio.Event, ready: Callable[[bool], None]) -> None:
    """Work on the deltas partitions that the group gives us until `stop` is set.

    Args:
        ready: told True while the assigned partitions are recovered, False while they are being moved.

    Raises:
        KafkaError: the broker cannot be reached.
        TopicsNotReadyError: a topic is missing, or has another number of partitions than settings say.
    """
    worker = await prepare(settings, agents_spec(settings), ready)
    await worker.run(stop)


def agents_spec(settings: Settings) -> StateLogSpec:
    """The state log of the agents."""
    config = AgentConfig(
        further_axes=settings.further_axes,
        scopes_per_axis_max=settings.scopes_per_axis_max,
        rollup_ms=settings.rollup_seconds * 1000,
    )
    return StateLogSpec(
        role="agents",
        group=settings.topic(GROUP),
        input_topic=settings.topic(DELTAS),
        checkpoint_topic=settings.topic(AGENTS_CHECKPOINT),
        partitions=settings.deltas_partitions,
        factory=AgentFactory(config, settings.topic(SIGNALS), settings.topic(ROLLUPS)),
    )


class AgentFactory:
    """Makes `AgentPartition`s, and knows how far each is."""

    def __init__(self, config: AgentConfig, signals_topic: str, rollups_topic: str) -> None:
        self.config = config
        self.signals_topic = signals_topic
        self.rollups_topic = rollups_topic
        self._watermarks_ms: dict[int, int] = {}
        self._scopes: dict[tuple[str, int], tuple[int, int]] = {}
        self._verdicts_refused: dict[int, int] = {}
        self._seldom_folded, self._seldom_refused = Seldom(), Seldom()

    def empty(self, partition: int) -> AgentPartition:
        """The agent of a partition from its beginning on."""
        return AgentPartition(AgentCore(self.config, partition), partition, self)

    def restore(self, partition: int, head: bytes, rows: Mapping[str, bytes]) -> AgentPartition:
        """The agent of a partition from a checkpoint on."""
        return AgentPartition(AgentCore.restore(self.config, partition, head, rows), partition, self)

    def note(self, partition: int, core: AgentCore) -> None:
        """Gauges over all partitions of this worker: the watermark furthest behind, scopes held and folded by axis."""
        watermarks, scopes = self._watermarks_ms, self._scopes
        watermarks[partition] = core.clocks.watermark_ms
        metrics.WATERMARK_SECONDS.set(min(watermarks.values()) / 1000)
        for axis, table in core.state.tables.items():
            held, folded = len(table.scopes), table.scopes.folded
            known_held, known_folded = scopes.get((axis, partition), (0, 0))
            if (held, folded) != (known_held, known_folded):
                scopes[axis, partition] = held, folded
                metrics.SCOPES.labels(axis).inc(held - known_held)
                metrics.FOLDED_TOTAL.labels(axis).inc(max(folded - known_folded, 0))
                if folded > known_folded and self._seldom_folded.due():
                    log.warning(
                        "an axis is full: its new values are counted in one scope `~other`, totals stay exact; "
                        "take what is unique to a call out of this field, or raise TOKENFUSE_SCOPES_PER_AXIS_MAX",
                        axis=axis,
                        partition=partition,
                        scopes_max=self.config.scopes_per_axis_max,
                    )
        self._note_refused(partition, core.panel.standings.refused)

    def _note_refused(self, partition: int, refused: int) -> None:
        known, self._verdicts_refused[partition] = self._verdicts_refused.get(partition, 0), refused
        if refused <= known:
            return
        metrics.VERDICTS_REFUSED_TOTAL.inc(refused - known)
        if self._seldom_refused.due():
            log.error(
                "too many verdicts stand at once, further ones are not told: is a limit too low?",
                partition=partition,
                standing_max=STANDING_MAX,
            )


class AgentPartition:
    """`AgentCore` between bytes and bytes."""

    def __init__(self, core: AgentCore, partition: int, factory: AgentFactory) -> None:
        self.core = core
        self._partition = partition
        self._factory = factory
        self.dirty_rows = core.dirty_rows
        self.dropped_rows = core.dropped_rows
        self.snapshot = core.snapshot
        self.head = core.head

    def apply(self, offset: int, value: bytes) -> Sequence[Output]:
        """One block."""
        try:
            out = self.core.apply(offset, decode_block(value))
        except SliceGapError as error:
            raise InputGapError(str(error)) from error
        metrics.BLOCKS_TOTAL.labels(out.result).inc()
        metrics.ROLLUPS_TOTAL.inc(len(out.rollups))
        self._factory.note(self._partition, self.core)
        # Signals first: somebody's money is running out, while a rollup is only late.
        return [*map(self._signal, out.signals), *map(self._rollup, out.rollups)]

    def _signal(self, signal: Signal) -> Output:
        if isinstance(signal, Verdict):
            metrics.SIGNALS_TOTAL.labels(signal.state).inc()
            key = f"{signal.rule}|{signal.scope}"
        else:
            key = f"clock|{self._partition}"
        return Output(self._factory.signals_topic, key.encode(), encode_signal(signal), 0)

    def _rollup(self, rollup: Rollup) -> Output:
        return Output(self._factory.rollups_topic, rollup_key(rollup), encode_rollup(rollup))
