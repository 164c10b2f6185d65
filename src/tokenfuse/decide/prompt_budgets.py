"""Prompt budgets: the mean call of every scope against its limit."""

from __future__ import annotations

from dataclasses import fields

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import PromptBudgetRule
from tokenfuse.decide.closed_panes import ClosedPanesJudge
from tokenfuse.detect.limit import LimitScore
from tokenfuse.detect.prompt_budget import PromptSums, prompt_budget
from tokenfuse.windows.narrow import Sums


class PromptBudgetJudge(ClosedPanesJudge[PromptBudgetRule]):
    """One prompt budget on one deltas partition."""

    @property
    def _threshold(self) -> float:
        return float(self.rule.limit)

    def _score(self, sums: Sums) -> LimitScore:
        return prompt_budget(
            PromptSums(**{f.name: sums[:, INDEX[f.name]] for f in fields(PromptSums)}), self.rule
        )
