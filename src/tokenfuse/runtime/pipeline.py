"""Every pure core of an installation in one process, wired as the topics wire them: what `replay` and rule tests run.

No broker, no clock: blocks go to the agents, their signals to the decider, its control blocks back to the agents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from tokenfuse.contracts.alert import Alert
from tokenfuse.contracts.block import FORMAT, TICK_FORMAT, Block, DeltaBlock, Tick
from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.command import Command
from tokenfuse.contracts.rollup import Rollup
from tokenfuse.contracts.ruleset import RuleSet, encode_ruleset
from tokenfuse.contracts.signal import CommandSignal, Signal
from tokenfuse.decide.agent import AgentConfig, AgentCore
from tokenfuse.decide.decider.core import DeciderCore
from tokenfuse.decide.decider.outputs import SwitchChange
from tokenfuse.ingest.aggregate import Aggregator
from tokenfuse.ingest.call import Call

TICK_MS: Final = 10_000
FINE_GAP_MS: Final = 3_600_000
"""Within a gap of an hour time passes in steps of ten seconds, then in steps of a minute, then of an hour."""
FLUSH_MS: Final = 40_000
"""At the end of a file time passes for so long that the last pane closes."""


class Pipeline:
    """Agents of all deltas partitions and the decider, with the logs between them as plain counters."""

    def __init__(self, config: AgentConfig, partitions: int = 1) -> None:
        """Start empty, without a rule set."""
        self.agents = [AgentCore(config, p) for p in range(partitions)]
        self.decider = DeciderCore(partitions)
        self.on_alert: Callable[[Alert], None] = lambda _alert: None
        self.on_switch: Callable[[SwitchChange], None] = lambda _change: None
        self.on_rollup: Callable[[Rollup], None] = lambda _rollup: None
        self._offsets = [0] * partitions
        self._signals = 0

    def install(self, ruleset: RuleSet, at_ms: int) -> None:
        """Put a rule set in force from this point of the log on, as an operator's command would."""
        command = Command(
            id=f"rules-{ruleset.id}-{self._signals}",
            kind="rules",
            at=to_rfc3339(at_ms),
            by="replay",
            ruleset=msgspec.Raw(encode_ruleset(ruleset)),
        )
        self._signal(CommandSignal(command=command))

    def blocks(self, blocks: Sequence[Block]) -> None:
        """Append one block to every deltas partition, in their order."""
        for partition, block in enumerate(blocks):
            self._block(partition, block)

    def tick(self, source: int, position: int, now_ms: int) -> None:
        """Let time pass for a source partition."""
        self.blocks([Tick(TICK_FORMAT, source, position, now_ms)] * len(self.agents))

    def flush(self) -> None:
        """Let every rollup out that has not gone out yet."""
        for agent, offset in zip(self.agents, self._offsets, strict=True):
            for rollup in agent.flush(offset):
                self.on_rollup(rollup)

    def _block(self, partition: int, block: Block) -> None:
        offset = self._offsets[partition]
        self._offsets[partition] += 1
        out = self.agents[partition].apply(offset, block)
        for rollup in out.rollups:
            self.on_rollup(rollup)
        for signal in out.signals:
            self._signal(signal)

    def _signal(self, signal: Signal) -> None:
        offset, self._signals = self._signals, self._signals + 1
        out = self.decider.apply(offset, signal)
        for alert in out.alerts:
            self.on_alert(alert)
        for change in out.switches:
            self.on_switch(change)
        for control in out.controls:
            self.blocks([control] * len(self.agents))


class Clockwork:
    """Slices of one source partition in event time, with ticks through the gaps between them."""

    def __init__(self, pipeline: Pipeline, source: int = 0) -> None:
        """Start before the first event."""
        self._pipeline = pipeline
        self._source = source
        self._now_ms: int | None = None

    def slice(self, blocks: Sequence[Block], position: int, first_ms: int, last_ms: int) -> None:
        """A slice whose events, late ones aside, are of [first_ms, last_ms]; time passes up to the first one before."""
        self.pass_time(position, first_ms)
        self._pipeline.blocks(blocks)
        self._now_ms = max(self._now_ms or 0, last_ms)

    def pass_time(self, position: int, until_ms: int) -> None:
        """Tick up to, and not at, until_ms."""
        if self._now_ms is None:
            self._now_ms = until_ms
        started_ms = self._now_ms
        while (step_ms := self._now_ms + _step_ms(self._now_ms - started_ms)) < until_ms:
            self._now_ms = step_ms
            self._pipeline.tick(self._source, position, step_ms)
        self._now_ms = max(self._now_ms, until_ms)

    def finish(self, position: int) -> None:
        """Close the last pane."""
        if self._now_ms is not None:
            self.pass_time(position, self._now_ms + FLUSH_MS)
            self._pipeline.tick(self._source, position, self._now_ms)
        self._pipeline.flush()


def _step_ms(waited_ms: int) -> int:
    if waited_ms < FINE_GAP_MS:
        return TICK_MS
    return 60_000 if waited_ms < 24 * FINE_GAP_MS else FINE_GAP_MS


def run_events(calls: Iterable[Call], ruleset: RuleSet) -> list[Alert]:
    """Alert transitions that calls, sorted by time, would make under a rule set from their beginning on."""
    pipeline = Pipeline(AgentConfig(rollup_ms=3_600_000, totals_only=True))
    alerts: list[Alert] = []
    pipeline.on_alert = alerts.append
    clockwork, aggregator, position = Clockwork(pipeline), Aggregator((), 1), 0
    for pane in _panes(calls):
        newest_ms = pane[-1].time_ms
        if position == 0:
            pipeline.install(ruleset, newest_ms)
        a, position = position, position + len(pane)
        rows = aggregator.rows(pane)[0]
        block = DeltaBlock(
            FORMAT, 0, a, position, newest_ms, newest_ms, history=False, price_version="calls", rows=rows
        )
        clockwork.slice([block], position, newest_ms, newest_ms)
    clockwork.finish(position)
    return alerts


def _panes(calls: Iterable[Call]) -> Iterable[list[Call]]:
    pane: list[Call] = []
    for call in calls:
        if pane and call.time_ms // TICK_MS != pane[0].time_ms // TICK_MS:
            yield pane
            pane = []
        pane.append(call)
    if pane:
        yield pane
