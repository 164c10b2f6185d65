"""Any interleaving of slices, slices sent again, ticks, rules, checkpoints, half checkpoints, crashes and zombies.

The agents' core between the real ledger and the real recovery, with a dictionary for the compacted changelog: what it
says and the bytes of its state must be those of a core that read the log once, from end to end.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.support.calls import BlockMaker
from tests.unit.decide.test_panel_purity import CALLS, RULESETS, made

from tokenfuse.contracts.block import CONTROL_FORMAT, Control
from tokenfuse.contracts.ruleset import encode_ruleset
from tokenfuse.decide.agent import AgentConfig, AgentCore
from tokenfuse.runtime.statelog.ledger import Ledger
from tokenfuse.runtime.statelog.recovery import newest_checkpoint
from tokenfuse.windows.codec import pack, unpack

CONFIG = AgentConfig(scopes_per_axis_max=20)
SOURCES = 3
STEPS_S = st.sampled_from([0, 1, 10, 100, 3600, 5 * 3600, 34 * 86_400])


class Worker:
    """One incarnation of the partition's owner."""

    def __init__(self, incarnation: int, changelog: dict[bytes, bytes]) -> None:
        """Recover."""
        found = newest_checkpoint(changelog)
        self.core = (
            AgentCore(CONFIG, 0) if found.offset < 0 else AgentCore.restore(CONFIG, 0, found.head, found.rows)
        )
        self.next_offset = found.offset + 1
        self.ledger = Ledger(0, f"i{incarnation}", set(found.rows), found.keys)

    def read(self, log: list[Any]) -> list[tuple[int, bytes]]:
        """Apply what is new; what follows from each block, as bytes."""
        said = [(i, said_by(self.core, i, log[i])) for i in range(self.next_offset, len(log))]
        self.next_offset = len(log)
        return said


def said_by(core: AgentCore, offset: int, block: Any) -> bytes:
    out = core.apply(offset, block)
    return msgspec.json.encode([out.signals, out.rollups, out.result])


def by_scope(row: bytes) -> bytes:
    """A checkpoint row, a pane's ordered by scope: a checkpoint settles what is pending, so scopes may get their rows earlier."""
    fields = unpack(row)
    if not {"ids", "rows", "unsent"} <= fields.keys():
        return row
    order = np.argsort(fields["ids"], kind="stable")
    return pack(fields | {name: fields[name][order] for name in ("ids", "rows", "unsent")})


class AnyInterleaving(RuleBasedStateMachine):
    """The log grows by the first rules; what happens to its reader are the others."""

    def __init__(self) -> None:
        super().__init__()
        self.makers = [BlockMaker(source=number) for number in range(SOURCES)]
        self.log: list[Any] = []
        self.now_s = self.calls = self.incarnations = 0
        self.changelog: dict[bytes, bytes] = {}
        self.straight = AgentCore(CONFIG, 0)
        self.truth: list[bytes] = []
        self.zombies: list[Worker] = []
        self.worker = self._recovered()

    def _recovered(self) -> Worker:
        self.incarnations += 1
        return Worker(self.incarnations, self.changelog)

    def _append(self, *blocks: Any) -> None:
        self.log += blocks

    @rule(source=st.integers(0, SOURCES - 1), step_s=STEPS_S, some=st.lists(CALLS, min_size=1, max_size=6))
    def slice_comes(self, source: int, step_s: int, some: list[Any]) -> None:
        self.now_s += step_s
        self.calls += len(some)
        calls = [made(self.calls + n, self.now_s, *fields) for n, fields in enumerate(some)]
        self._append(*self.makers[source].blocks(calls))

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def a_block_is_sent_again(self, data: Any) -> None:
        self._append(data.draw(st.sampled_from(self.log)))

    @rule(source=st.integers(0, SOURCES - 1), step_s=STEPS_S)
    def time_passes(self, source: int, step_s: int) -> None:
        self.now_s += step_s
        self._append(self.makers[source].tick(self.now_s))

    @rule(ruleset=st.sampled_from(RULESETS))
    def rules_change(self, ruleset: Any) -> None:
        self._append(Control(CONTROL_FORMAT, "rules", len(self.log), encode_ruleset(ruleset)))

    @rule()
    def the_worker_reads(self) -> None:
        for offset, said in self.worker.read(self.log):
            if offset == len(self.truth):
                self.truth.append(said_by(self.straight, offset, self.log[offset]))
            assert said == self.truth[offset]

    @precondition(lambda self: self.worker.next_offset)
    @rule(rows_written=st.integers(0, 60) | st.none())
    def checkpoint(self, rows_written: int | None) -> None:
        """None: whole. A number: the worker dies after so many rows, before its head."""
        self._write(self.worker, rows_written)
        if rows_written is not None:
            self.worker = self._recovered()

    def _write(self, worker: Worker, rows_written: int | None = None) -> None:
        cut = worker.ledger.cut(worker.next_offset - 1, worker.core)
        self.changelog |= dict(cut.rows[:rows_written])
        if rows_written is None:
            self.changelog |= dict([cut.head])
            for key in cut.obsolete:
                self.changelog.pop(key, None)

    @rule()
    def crash(self) -> None:
        self.worker = self._recovered()

    @rule()
    def the_worker_stops_and_is_replaced(self) -> None:
        self.zombies.append(self.worker)
        self.worker = self._recovered()

    @precondition(lambda self: any(zombie.next_offset for zombie in self.zombies))
    @rule(data=st.data())
    def a_zombie_writes_its_checkpoint(self, data: Any) -> None:
        """It acks nothing and deletes nothing any more, since the assignment is lost, but its rows and head arrive."""
        zombie = data.draw(st.sampled_from([zombie for zombie in self.zombies if zombie.next_offset]))
        self.zombies.remove(zombie)
        cut = zombie.ledger.cut(zombie.next_offset - 1, zombie.core)
        self.changelog |= dict([*cut.rows, cut.head])

    @invariant()
    def a_fresh_worker_would_find_a_whole_checkpoint(self) -> None:
        newest_checkpoint(self.changelog)

    def teardown(self) -> None:
        """Read to the end, check the state's bytes, and once more after a recovery from them."""
        self.the_worker_reads()
        if not self.log:
            return
        self._write(self.worker)
        written = newest_checkpoint(self.changelog)
        assert written.offset == len(self.log) - 1
        assert written.head == self.straight.head()
        rows = {name: self.straight.snapshot(name) for name in self.straight.dirty_rows()}
        assert {n: by_scope(row) for n, row in written.rows.items()} == {
            n: by_scope(row) for n, row in rows.items()
        }


AnyInterleaving.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestAnyInterleaving = AnyInterleaving.TestCase
