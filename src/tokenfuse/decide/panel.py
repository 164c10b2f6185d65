"""The panel of judges: one per rule in force, called when a block touched scopes or when time closed panes.

A kind of rule is a judge of one of two sorts, named in `OPEN_JUDGES` or `CLOSED_JUDGES`. Verdicts that only grow within
a pane are taken on open panes at every block, all others when panes close (DESIGN section 5).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tokenfuse.contracts.axes import CELL
from tokenfuse.contracts.ruleset import (
    AbsenceRule,
    AgentRule,
    AnyRule,
    BurnRateRule,
    BurstRule,
    CapRule,
    DriftRule,
    NoveltyRule,
    PriceRule,
    PromptBudgetRule,
    Rule,
    RuleSet,
    SpikeRule,
    VolumeRule,
)
from tokenfuse.decide.absences import AbsenceJudge
from tokenfuse.decide.burn_rates import BurnRateJudge
from tokenfuse.decide.bursts import BurstJudge, record_name
from tokenfuse.decide.caps import CapJudge
from tokenfuse.decide.cells import CellIndex
from tokenfuse.decide.drift_panel import DriftPanel
from tokenfuse.decide.evidence import Witness
from tokenfuse.decide.judge import (
    ODD_RUNS,
    RUNS,
    ClosedJudge,
    Court,
    Foreseeing,
    Learning,
    MakeClosed,
    MakeOpen,
    OpenJudge,
)
from tokenfuse.decide.members import has_axis
from tokenfuse.decide.novelties import NoveltyJudge
from tokenfuse.decide.prices import PriceJudge
from tokenfuse.decide.prompt_budgets import PromptBudgetJudge
from tokenfuse.decide.records import RecordShelf
from tokenfuse.decide.run_records import RunLearner
from tokenfuse.decide.runs import agent_judge
from tokenfuse.decide.spikes import SpikeJudge
from tokenfuse.decide.standings import Standings
from tokenfuse.windows.ahead import Ahead
from tokenfuse.windows.batch import Batch
from tokenfuse.windows.course import Steps
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.state import WindowState

NOTHING: Final = np.empty(0, np.int32)
RUN: Final = "run_id"
STEP_S: Final = 10
"""Standing verdicts are judged again, and drift at most this often, at every so many seconds of event time."""

FEW_PANES: Final = 2
"""A block of so few panes is judged pane by pane: looking ahead costs as much."""

OPEN_JUDGES: Final[dict[type[Rule], MakeOpen]] = {
    CapRule: CapJudge,
    SpikeRule: SpikeJudge,
    BurnRateRule: BurnRateJudge,
    AgentRule: agent_judge,
    BurstRule: BurstJudge,
}
CLOSED_JUDGES: Final[dict[type[Rule], MakeClosed]] = {
    PriceRule: PriceJudge,
    PromptBudgetRule: PromptBudgetJudge,
    AbsenceRule: AbsenceJudge,
    NoveltyRule: NoveltyJudge,
}


class Panel:
    """Judges by rule, and the verdicts that stand.

    Attributes:
        judged_s: watermark at which closed panes were last judged, a multiple of STEP_S.
        drifts: the drift rules, with what they have learned.
        records: daily maxima, by what has them.
        fresh: the rule set has not judged yet: its first look is at every scope, since one that is over a new limit
            may never make another call.
    """

    def __init__(self, state: WindowState) -> None:
        """No rule is in force."""
        self._state = state
        self._cells = CellIndex(state)
        self._witness = Witness(state, self._cells)
        self._open: list[OpenJudge] = []
        self._closed: list[ClosedJudge] = []
        self._awake: list[OpenJudge] = []
        self._latest_s = 0
        self._watermark_s = 0
        self.standings = Standings()
        self.drifts = DriftPanel(self._cells, self._witness, self.standings)
        self.records = RecordShelf()
        self._runs: RunLearner | None = None
        self._teaching = False  # what is added to runs is still to be learned
        self._agents: list[AgentRule] = []
        self.ruleset: RuleSet | None = None
        self.judged_s = 0
        self.fresh = False

    def install(self, ruleset: RuleSet, latest_s: int, watermark_s: int) -> None:
        """Put a rule set in force. Rules on axes that settings do not name have no scopes to judge."""
        self.ruleset = ruleset
        self.fresh = True
        tables = set(self._state.tables)
        rules = [rule for rule in ruleset.rules if has_axis(rule.axis, tables)]
        self.standings.keep_only({rule.id for rule in rules})
        self.records.keep(_recorded(rules))
        court = Court(self._state, self._cells, self._witness, self.standings, self.records)
        self._agents = [r for r in rules if isinstance(r, AgentRule) and r.axis == RUN]
        self._runs = court.runs if self._agents or RUNS in self.records.kept else None
        self._open = [OPEN_JUDGES[type(rule)](rule, court) for rule in rules if type(rule) in OPEN_JUDGES]
        self._closed = [
            CLOSED_JUDGES[type(rule)](rule, court) for rule in rules if type(rule) in CLOSED_JUDGES
        ]
        self._awake, self._teaching = self._open, RUNS in self.records.kept
        self.drifts.install([rule for rule in rules if isinstance(rule, DriftRule | VolumeRule)])
        self.move(latest_s, watermark_s)
        self.catch_up()

    def move(self, latest_s: int, watermark_s: int) -> None:
        """Where the log stands now. Windows are moved when they are read: most blocks concern few of them."""
        self._latest_s, self._watermark_s = latest_s, watermark_s

    def catch_up(self) -> None:
        """Let every window end where the log stands, before panes expire: what left one unseen could not be taken out."""
        for judge in self._open:
            judge.advance(self._latest_s)
        for slow in self._closed:
            slow.advance(self._watermark_s)
        if self._runs is not None:
            self._runs.advance(self._latest_s)
        self.drifts.move(self._watermark_s)

    def judge(self, touched: dict[str, Ids], now_ms: int) -> None:
        """Judge touched scopes on open panes, and everything that newly closed panes concern."""
        before_s = self._close()
        closed = self.judged_s > before_s
        seen = self._live() if self.fresh else touched
        for judge in self._sitting(seen, closed=closed):
            judge.judge(seen.get(judge.rule.axis, NOTHING), self._latest_s, now_ms)
        self.fresh = False
        self._learn_runs(touched)
        if closed:
            self._judge_closed(before_s, now_ms)
        self.drifts.judge(before_s, self.judged_s, self._watermark_s, now_ms, learning=False)

    def _live(self) -> dict[str, Ids]:
        return {axis: table.scopes.live() for axis, table in self._state.tables.items()}

    def _sitting(self, touched: dict[str, Ids], *, closed: bool) -> list[OpenJudge]:
        """Judges of touched axes, and when panes closed those of whom something stands; their windows end now."""
        if self._runs is not None and RUN in touched:
            self._runs.advance(self._latest_s)
        sitting = [
            judge
            for judge in self._awake
            if judge.rule.axis in touched or (closed and self.standings.of(judge.rule))
        ]
        for judge in sitting:
            judge.advance(self._latest_s)
        return sitting

    def _learn_runs(self, touched: dict[str, Ids]) -> None:
        """Touched runs teach what is usual, but for those of which something stands."""
        if self._runs is None or RUN not in touched or not self._teaching:
            return
        scopes = self._state.tables[RUN].scopes
        odd = {scopes.id_of(value) for rule in self._agents for value in self.standings.of(rule)}
        self._runs.learn(touched[RUN], odd, self._latest_s)

    def steps_of(
        self, panes_s: list[int], batch: Batch, *, last_s: int, history: bool, sure: bool
    ) -> list[int]:
        """At which panes of a block, ascending, verdicts may change; its last pane always is one.

        Where nothing can breach and nothing stands, only those at which closed panes are judged.

        Args:
            panes_s, batch: the panes, and what is to be added.
            last_s: newest event time once the block is added.
            history: the block comes while history is read.
            sure: the newest event time at each pane before the last is that pane's.
        """
        self._awake, self._teaching = self._open, RUNS in self.records.kept
        if len(panes_s) <= FEW_PANES or not sure:
            return panes_s
        ahead = batch.ahead()
        if self._runs is not None and RUN in ahead and not self.fresh:
            self._runs.foresee(ahead[RUN], Steps.of(panes_s, self._latest_s, last_s))
        concerned = self._concerned(ahead, panes_s[-1] + STEP_S - 1, history=history)
        axes = {judge.rule.axis for judge in concerned}
        if RUN in ahead and RUN not in axes and not self._learn_runs_ahead():
            axes.add(RUN)
        # Evidence shows the dearest call of a cell so far, also that of rules on closed panes.
        batch.step({*axes, CELL, *(judge.rule.axis for judge in self._closed if judge.hears_calls)})
        # The others see nothing that they have not foreseen.
        self._awake = concerned
        return panes_s if axes else self._due(panes_s)

    def _due(self, panes_s: list[int]) -> list[int]:
        """The panes at which closed panes are judged, and the last one."""
        intervals = {judge.interval_s for judge in self._closed} | self.drifts.intervals_s
        panes, due = np.array(panes_s), np.zeros(len(panes_s), np.bool_)
        for interval_s in intervals:
            due |= np.diff((panes - STEP_S) // interval_s, prepend=self.judged_s // interval_s) > 0
        due[-1] = True
        return [int(pane) for pane in panes[due]]

    def _learn_runs_ahead(self) -> bool:
        """Learn of runs what the whole block will teach; False: only its steps can tell. Nothing stands of any run."""
        if self._runs is None or not self._teaching:
            return True
        self._teaching = not self._runs.learn_ahead()
        return not self._teaching

    def _concerned(self, ahead: dict[str, Ahead], until_s: int, *, history: bool) -> list[OpenJudge]:
        """Judges of whom a verdict stands or may come while the block is added."""
        concerned = [judge for judge in self._open if self._concerns(judge, ahead, until_s)]
        for judge in () if history else self._open:
            if judge.rule.axis in ahead and isinstance(judge, Learning) and judge not in concerned:
                judge.learn_ahead(ahead[judge.rule.axis], self._latest_s, until_s)
        return concerned

    def _concerns(self, judge: OpenJudge, ahead: dict[str, Ahead], until_s: int) -> bool:
        if self.fresh or self.standings.of(judge.rule):
            return True
        if judge.rule.axis not in ahead:
            return False
        if not isinstance(judge, Foreseeing):
            return True
        judge.advance(self._latest_s)
        return len(judge.suspects(ahead[judge.rule.axis], self._latest_s, until_s)) > 0

    def _judge_closed(self, before_s: int, now_ms: int) -> None:
        for judge in self._closed:
            if self.judged_s // judge.interval_s > before_s // judge.interval_s:
                judge.advance(self._watermark_s)
                judge.judge(self.judged_s, now_ms)

    def learn(self, touched: dict[str, Ids], now_ms: int) -> None:
        """While history is read: what is normal is learned, and nothing is told."""
        if self._runs is not None:
            self._runs.advance(self._latest_s)
        self._learn_runs(touched)
        before_s = self._close()
        self.drifts.judge(before_s, self.judged_s, self._watermark_s, now_ms, learning=True)

    def _close(self) -> int:
        """Move to the watermark's step; returns where the last one was."""
        before_s = self.judged_s
        self.judged_s = max(self._watermark_s - self._watermark_s % STEP_S, before_s)
        return before_s


def _recorded(rules: list[AnyRule]) -> set[str]:
    """Names of the records that rules ask for."""
    learn = any(isinstance(rule, AgentRule) and rule.times_record is not None for rule in rules)
    return ({RUNS, ODD_RUNS} if learn else set()) | {
        record_name(rule) for rule in rules if isinstance(rule, BurstRule)
    }
