"""What a judge is: one rule on one deltas partition, and what it needs to judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from tokenfuse.contracts.ruleset import AnyRule
from tokenfuse.decide.cells import CellIndex
from tokenfuse.decide.evidence import Witness
from tokenfuse.decide.records import RecordShelf
from tokenfuse.decide.run_records import RunLearner
from tokenfuse.decide.standings import Standings
from tokenfuse.detect.agent import RECORDED
from tokenfuse.windows.ahead import Ahead
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.state import WindowState

RUNS, ODD_RUNS = "runs", "odd-runs"
"""Names of the records of runs."""


@dataclass(frozen=True)
class Court:
    """What all judges of one deltas partition share."""

    state: WindowState
    cells: CellIndex
    witness: Witness
    standings: Standings
    records: RecordShelf

    @cached_property
    def runs(self) -> RunLearner:
        """What is usual for runs; one for all rules."""
        runs, odd = (self.records.of(name, len(RECORDED)) for name in (RUNS, ODD_RUNS))
        return RunLearner(self.state, runs, odd)


class OpenJudge(Protocol):
    """Judges open panes, at every block that touched scopes of its axis, and while something stands."""

    @property
    def rule(self) -> AnyRule:
        """The rule in force."""

    def advance(self, latest_s: int) -> None:
        """Let every window end with the pane of latest_s, the newest event time."""

    def judge(self, ids: Ids, latest_s: int, now_ms: int) -> None:
        """Judge some scopes: those touched, and those that stand."""


@runtime_checkable
class Foreseeing(Protocol):
    """An open judge that can tell beforehand that a block concerns it little, so that a long one needs few steps."""

    def suspects(self, ahead: Ahead, latest_s: int, until_s: int) -> Ids:
        """Which scopes may be over the threshold at some moment while calls are added: too many rather than too few.

        Args:
            ahead: the calls.
            latest_s, until_s: newest event time before the calls and after them.
        """


@runtime_checkable
class Learning(Protocol):
    """A foreseeing judge that learns from every moment, also of a block that concerns it little."""

    def learn_ahead(self, ahead: Ahead, latest_s: int, until_s: int) -> None:
        """Learn what judging pane by pane would teach: after `suspects` found none, and before the calls are added.

        Args: as of `Foreseeing.suspects`.
        """


class ClosedJudge(Protocol):
    """Judges closed panes of all scopes of its axis.

    Attributes:
        interval_s: every so often of event time; a multiple of ten seconds.
        hears_calls: it asks when a scope's newest call was: what a block holds of later panes must not be added yet.
    """

    interval_s: int
    hears_calls: bool

    @property
    def rule(self) -> AnyRule:
        """The rule in force."""

    def advance(self, watermark_s: int) -> None:
        """Let every window end with the last pane that closed before watermark_s."""

    def judge(self, watermark_s: int, now_ms: int) -> None:
        """Judge every scope; watermark_s is a multiple of ten seconds."""


MakeOpen = Callable[[Any, Court], OpenJudge]
MakeClosed = Callable[[Any, Court], ClosedJudge]
