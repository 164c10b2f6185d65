"""Prompt budgets: the mean call of every scope against its limit."""

from __future__ import annotations

from dataclasses import fields

from tokenfuse.contracts.ruleset import PromptBudgetRule
from tokenfuse.decide.closed_panes import ClosedPanesJudge
from tokenfuse.detect.limit import LimitScore
from tokenfuse.detect.prompt_budget import PromptSums, prompt_budget
from tokenfuse.windows.pane import Ids


class PromptBudgetJudge(ClosedPanesJudge[PromptBudgetRule]):
    """One prompt budget on one deltas partition."""

    @property
    def _threshold(self) -> float:
        return float(self.rule.limit)

    def _score(self, ids: Ids, starts_s: list[int]) -> LimitScore:
        sums = PromptSums(**{f.name: self._sum(f.name, ids, starts_s) for f in fields(PromptSums)})
        return prompt_budget(sums, self.rule)
