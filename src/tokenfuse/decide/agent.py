"""The agent's core: one deltas partition, from blocks to verdict changes and rollups. Pure: state is a function of the log.

Checkpoint rows: those of `windows.state`, `rules`, `drift/...` and in pieces `standings`; `head` holds the clocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tokenfuse.contracts.block import PANE_SECONDS, Block, Control, DeltaBlock, Tick
from tokenfuse.contracts.rollup import Rollup
from tokenfuse.contracts.ruleset import RuleSet, decode_ruleset, encode_ruleset
from tokenfuse.contracts.signal import Clock, Signal
from tokenfuse.decide.drift_panel import PREFIX
from tokenfuse.decide.panel import Panel
from tokenfuse.decide.pieces import Pieces
from tokenfuse.decide.records import PREFIX as RECORD
from tokenfuse.windows.batch import Batch
from tokenfuse.windows.clocks import AHEAD_MS, Clocks, Contiguity
from tokenfuse.windows.codec import pack, unpack
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.state import WindowState

RULES: Final = "rules"
STANDINGS: Final = "standings"
BASELINE: Final = "baseline/"
"""Rows of row format 1, whose baselines are learned anew."""

FLUSH_ROLLUPS_MAX: Final = 5000
"""Rollups that leave with one block, 5 ms of work for a thousand with their encoding: nobody's verdict waits longer."""

STEPS_MAX: Final = 1000
"""Panes of one slice that are judged one by one, the newest ones; what a first slice holds of older ones is one step."""


@dataclass(frozen=True)
class AgentConfig:
    """What every agent of one installation has in common.

    Attributes:
        rollup_ms: whole panes that changed leave at least this often, by the log's clock.
        totals_only: only running totals leave (`replay`).
    """

    further_axes: tuple[str, ...] = ()
    scopes_per_axis_max: int = 100_000
    rollup_ms: int = 10_000
    totals_only: bool = False


@dataclass
class AgentOutputs:
    """What one block made. `result` is the metric label of the block's outcome."""

    signals: list[Signal] = field(default_factory=list)
    rollups: list[Rollup] = field(default_factory=list)
    result: str = "applied"


class AgentCore:
    """Applies the log of one deltas partition, offset by offset."""

    def __init__(self, config: AgentConfig, partition: int) -> None:
        """Start empty: no scope, no rule set."""
        self._config = config
        self._partition = partition
        self.clocks = Clocks()
        self.state = WindowState(partition, config.further_axes, config.scopes_per_axis_max)
        self.panel = Panel(self.state)
        self.rules_generation = -1
        self._rules_changed = False
        self._pieces = Pieces()
        self._dropped: list[str] = []
        self._latest_s = 0
        self._clock_told_ms = 0
        self._rolled_up_ms = 0
        self._flushing = False

    @property
    def ruleset(self) -> RuleSet | None:
        """The rule set in force at this point of the log."""
        return self.panel.ruleset

    def apply(self, offset: int, block: Block) -> AgentOutputs:
        """Apply one block.

        Raises:
            SliceGapError: a slice overlaps or leaves a hole; nothing was applied, and nothing more may be.
        """
        out = AgentOutputs()
        if isinstance(block, DeltaBlock):
            if self.clocks.check(block) is Contiguity.PASSED:
                return AgentOutputs(result="passed")
            self._apply_slice(offset, block, out)
        elif isinstance(block, Tick):
            self.clocks.ticked(block)
            self._move()
            self._judge({})
        else:
            out.result = self._apply_control(block)
        self._roll_up(offset, out)
        self._signal(offset, out)
        return out

    def _apply_slice(self, offset: int, block: DeltaBlock, out: AgentOutputs) -> None:
        """Add a slice pane by pane, and judge in between: a backlog's slices are long, its verdicts no others for it."""
        batch = self.state.batch(block.rows, history=block.history)
        last_s = min(block.event_ms, block.record_ms + AHEAD_MS) // 1000
        panes_s = self._panes(batch, last_s)
        history, sure = self.clocks.learning_with(block), self.clocks.believes(block)
        steps_s = set(self.panel.steps_of(panes_s, batch, last_s=last_s, history=history, sure=sure))
        for pane_s in panes_s[:-1]:
            self.clocks.slice_reached(block, (pane_s + PANE_SECONDS) * 1000 - 1)
            if pane_s in steps_s:
                self._move()
                self._judge(batch.add(pane_s + PANE_SECONDS))
            self._signal(offset, out)  # the decider's time passes whether anything can happen or not
        self.clocks.slice_applied(block)
        self._move()
        self._judge(batch.add())

    def _panes(self, batch: Batch, last_s: int) -> list[int]:
        """The panes of a slice, up to the newest event time that is believed, up to which it is added and judged one after the other, ascending.

        What is older than the newest pane of earlier slices is judged with it, what is too far ahead to be believed with
        the last.
        """
        first_s = self._latest_s - self._latest_s % PANE_SECONDS
        panes = batch.panes_s[batch.panes_s <= last_s]
        new = panes[panes > first_s].tolist()[-STEPS_MAX:]
        steps = [first_s, *new] if self._latest_s and len(new) < len(panes) else new
        # Others' calls may be newer: what this partition has is judged before time moves on to them.
        end_s = last_s - last_s % PANE_SECONDS
        return [*steps, end_s] if end_s > max(steps, default=first_s) else steps

    def _apply_control(self, control: Control) -> str:
        if control.kind != "rules":
            return "ignored"
        if control.generation <= self.rules_generation:
            return "passed"
        self.rules_generation = control.generation
        self._rules_changed = True
        ruleset = decode_ruleset(control.body)
        self.state.change_zones(ruleset.default_time_zone, ruleset.time_zones, self._latest_s)
        self.state.forget_rollings()
        self.panel.install(ruleset, self._latest_s, self.clocks.watermark_ms // 1000)
        return "applied"

    def _move(self) -> None:
        """Time moved."""
        newest_ms = max(
            (min(s.event_ms, self.clocks.now_ms + 5000) for s in self.clocks.sources.values()), default=0
        )
        self._latest_s = max(self._latest_s, newest_ms // 1000, self.clocks.watermark_ms // 1000)
        gap_s = self.clocks.unwatched_ms // 1000, self.clocks.watched_ms // 1000
        self.state.passed(self.clocks.watermark_ms // 1000, self.clocks.began_ms // 1000, gap_s)
        self.panel.move(self._latest_s, self.clocks.watermark_ms // 1000)

    def _judge(self, touched: dict[str, Ids]) -> None:
        """Judge what time closed and what the block touched."""
        if self.clocks.learning:
            self.panel.learn(touched, self.clocks.now_ms)
        else:
            self.panel.judge(touched, self.clocks.now_ms)

    def _roll_up(self, offset: int, out: AgentOutputs) -> None:
        waited_ms, rollup_ms = self.clocks.now_ms - self._rolled_up_ms, self._config.rollup_ms
        if not self._flushing:
            if waited_ms < rollup_ms:
                return
            self._flushing, self._rolled_up_ms, waited_ms = True, self.clocks.now_ms, 0
        if waited_ms >= 2 * rollup_ms:
            out.rollups = self.flush(offset)  # more changes with every block than may leave with it
            return
        out.rollups = self.state.take_rollups(
            offset, totals_only=self._config.totals_only, most=FLUSH_ROLLUPS_MAX
        )
        if len(out.rollups) < FLUSH_ROLLUPS_MAX:
            self._flushed()

    def flush(self, revision: int) -> list[Rollup]:
        """Rollups of everything that changed; then what is out of date is dropped, never before it was told."""
        rollups = self.state.take_rollups(revision, totals_only=self._config.totals_only)
        self._flushed()
        return rollups

    def _flushed(self) -> None:
        self._flushing = False
        self.panel.catch_up()
        self.state.expire(self.clocks.watermark_ms // 1000)

    def _signal(self, offset: int, out: AgentOutputs) -> None:
        for verdict in self.panel.standings.take():
            place = {"partition": self._partition, "offset": offset, "index": len(out.signals)}
            out.signals.append(msgspec.structs.replace(verdict, **place))
        if self.clocks.now_ms - self._clock_told_ms >= 1000:
            self._clock_told_ms = self.clocks.now_ms
            out.signals.append(
                Clock(
                    partition=self._partition,
                    offset=offset,
                    index=len(out.signals),
                    watermark_ms=self.clocks.watermark_ms,
                    now_ms=self.clocks.now_ms,
                )
            )

    def dirty_rows(self) -> list[str]:
        """Names of checkpoint rows changed since they were last taken."""
        if self.panel.standings.changed:
            self._pieces.cut(STANDINGS, pack({"standings": self.panel.standings.dump()}))
        own = [RULES] if self._rules_changed else []
        learned = [*self.panel.records.dirty_rows(), *self.panel.drifts.dirty_rows()]
        return [*self.state.changed_rows(), *own, *self._pieces.dirty, *learned]

    def snapshot(self, row: str) -> bytes:
        """Bytes of one row, which counts as unchanged from now on."""
        if row == RULES:
            self._rules_changed = False
            ruleset = self.ruleset
            return pack(
                {"generation": self.rules_generation, "body": encode_ruleset(ruleset) if ruleset else b""}
            )
        if row.startswith(PREFIX):
            return self.panel.drifts.snapshot(row)
        if row.startswith(RECORD):
            return self.panel.records.snapshot(row)
        return self._pieces.take(row) if _is_own(row) else self.state.snapshot(row)

    def dropped_rows(self) -> list[str]:
        """Names of rows that no longer exist, once."""
        names, self._dropped = self._dropped, []
        names += self._pieces.take_dropped() + self.panel.records.dropped_rows()
        return names + self.panel.drifts.dropped_rows() + self.state.dropped_rows()

    def head(self) -> bytes:
        """The small state that every checkpoint writes."""
        return pack(
            {
                "clocks": self.clocks.dump(),
                "latest_s": self._latest_s,
                "clock_told_ms": self._clock_told_ms,
                "rolled_up_ms": self._rolled_up_ms,
                "flushing": self._flushing,
                "judged_s": self.panel.judged_s,
                "fresh": self.panel.fresh,
                "expired_s": self.state.expired_s,
            }
        )

    @classmethod
    def restore(
        cls, config: AgentConfig, partition: int, head: bytes, rows: Mapping[str, bytes]
    ) -> AgentCore:
        """The core whose head and rows these are.

        Raises:
            UnknownFormatError: written by a release that this one cannot read.
            DamagedRowError: written by none.
        """
        core = cls(config, partition)
        fields: dict[str, Any] = unpack(head)
        core.clocks = Clocks.load(fields["clocks"])
        core._latest_s, core._clock_told_ms = fields["latest_s"], fields["clock_told_ms"]
        core._rolled_up_ms = fields["rolled_up_ms"]
        core._flushing = fields.get("flushing", False)  # row format 1 flushed at once
        core.state.restore(
            {name: data for name, data in rows.items() if not _is_own(name)}, fields["expired_s"]
        )
        core._restore_panel(rows)
        core.panel.judged_s, core.panel.fresh = fields["judged_s"], fields["fresh"]
        return core

    def _restore_panel(self, rows: Mapping[str, bytes]) -> None:
        if RULES in rows:
            rules = unpack(rows[RULES])
            self.rules_generation = rules["generation"]
            ruleset = decode_ruleset(rules["body"])
            self.state.set_zones(ruleset.default_time_zone, ruleset.time_zones)
            self.panel.install(ruleset, self._latest_s, self.clocks.watermark_ms // 1000)
        self.panel.standings.changed = False  # `install` forgets rules that are gone
        if (data := self._restore_part(STANDINGS, rows)) is not None:
            self.panel.standings.load(unpack(data)["standings"])
            self.panel.standings.changed = STANDINGS in rows
        self.panel.drifts.load({name: data for name, data in rows.items() if name.startswith(PREFIX)})
        self.panel.records.load({name: data for name, data in rows.items() if name.startswith(RECORD)})
        known = {RULES, *self._pieces.names()}
        own = (name for name in rows if _is_own(name) and not name.startswith((PREFIX, RECORD)))
        self._dropped += [name for name in own if name not in known]

    def _restore_part(self, name: str, rows: Mapping[str, bytes]) -> bytes | None:
        """A part's bytes; row format 1 had it in one row, which gives way to pieces."""
        data = self._pieces.restore(name, rows)
        return rows.get(name) if data is None else data


def _is_own(row: str) -> bool:
    """Whether a row is none of the windows'."""
    return row in (RULES, STANDINGS) or row.startswith((f"{STANDINGS}.", PREFIX, RECORD, BASELINE))
