"""The panel of judges: one per rule in force, called when a block touched scopes or when time closed panes."""

from __future__ import annotations

from typing import Final

import numpy as np

from tokenfuse.contracts.ruleset import CapRule, DriftRule, RuleSet, SpikeRule
from tokenfuse.decide.caps import CapJudge
from tokenfuse.decide.cells import CellIndex
from tokenfuse.decide.drifts import Baselines, DriftJudge, SharedScores
from tokenfuse.decide.evidence import Witness
from tokenfuse.decide.spikes import SpikeJudge
from tokenfuse.decide.standings import Standings
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.state import WindowState

NOTHING: Final = np.empty(0, np.int32)
STEP_S: Final = 10
"""Standing verdicts are judged again, and drift at most this often, at every so many seconds of event time."""


class Panel:
    """Judges by rule, and the verdicts that stand.

    Attributes:
        judged_s: watermark at which closed panes were last judged, a multiple of STEP_S.
        baselines: what is normal, by how many hours back.
        fresh: the rule set has not judged yet: its first look is at every scope, since one that is over a new limit
            may never make another call.
    """

    def __init__(self, state: WindowState) -> None:
        """No rule is in force."""
        self._state = state
        self._cells = CellIndex(state)
        self._witness = Witness(state, self._cells)
        self._open: list[CapJudge | SpikeJudge] = []
        self._drifts: list[DriftJudge] = []
        self._latest_s = 0
        self._watermark_s = 0
        self.standings = Standings()
        self.baselines: dict[int, Baselines] = {}
        self.ruleset: RuleSet | None = None
        self.judged_s = 0
        self.fresh = False

    def install(self, ruleset: RuleSet, latest_s: int, watermark_s: int) -> None:
        """Put a rule set in force. Rules on axes that settings do not name have no scopes to judge."""
        self.ruleset = ruleset
        self.fresh = True
        rules = [rule for rule in ruleset.rules if rule.axis in self._state.tables]
        self.standings.keep_only({rule.id for rule in rules})
        hours = {rule.baseline_hours for rule in rules if isinstance(rule, DriftRule)}
        self.baselines = {h: self.baselines.get(h) or Baselines(h, self._cells) for h in sorted(hours)}
        self._open = [self._open_judge(rule) for rule in rules if not isinstance(rule, DriftRule)]
        self._drifts = [self._drift_judge(rule) for rule in rules if isinstance(rule, DriftRule)]
        self.move(latest_s, watermark_s)

    def move(self, latest_s: int, watermark_s: int) -> None:
        """Let every window end where the log stands now."""
        self._latest_s, self._watermark_s = latest_s, watermark_s
        for judge in self._open:
            judge.advance(latest_s)
        for drift in self._drifts:
            drift.advance(watermark_s)

    def judge(self, touched: dict[str, Ids], now_ms: int) -> None:
        """Judge touched scopes on open panes, and everything that newly closed panes concern."""
        step_s = self._watermark_s - self._watermark_s % STEP_S
        before_s, self.judged_s = self.judged_s, max(step_s, self.judged_s)
        closed = self.judged_s > before_s
        for judge in self._open:
            axis = judge.rule.axis
            if self.fresh:
                judge.judge(self._state.tables[axis].scopes.live(), self._latest_s, now_ms)
            elif closed or axis in touched:
                judge.judge(touched.get(axis, NOTHING), self._latest_s, now_ms)
        self.fresh = False
        if closed and self._drifts:
            self._judge_closed(before_s, now_ms)

    def _judge_closed(self, before_s: int, now_ms: int) -> None:
        for baselines in self.baselines.values():
            baselines.refresh(self._watermark_s)
        shared: SharedScores = {}
        for drift in self._drifts:
            interval_s = drift.rule.evaluation_interval_seconds
            if self.judged_s // interval_s > before_s // interval_s:
                drift.judge(self._cells.pairs(drift.rule.axis), shared, self.judged_s, now_ms)

    def _open_judge(self, rule: CapRule | SpikeRule) -> CapJudge | SpikeJudge:
        make = CapJudge if isinstance(rule, CapRule) else SpikeJudge
        return make(rule, self._state, self._witness, self.standings)  # type: ignore[arg-type]

    def _drift_judge(self, rule: DriftRule) -> DriftJudge:
        baselines = self.baselines[rule.baseline_hours]
        return DriftJudge(rule, self._state, baselines, self._witness, self.standings)
