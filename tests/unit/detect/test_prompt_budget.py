"""Prompt budgets: the mean, and what the tokens above the limit cost."""

from __future__ import annotations

import numpy as np
import pytest

from tokenfuse.contracts.ruleset import PromptBudgetRule
from tokenfuse.detect.prompt_budget import PromptSums, prompt_budget

RULE = PromptBudgetRule(
    id="b", kind="prompt_budget", driver="prompt", maturity="stable", axis="feature", severity="ticket", mode="warn",
    limit=1000, window_seconds=3600, calls_min=10, floor_nanousd=100,
)  # fmt: skip


@pytest.mark.parametrize(
    ("calls", "cost", "tokens_in", "tokens_out", "fires", "excess"),
    [
        (10, 1000, 15_000, 1000, True, 250),
        (10, 1000, 10_000, 0, False, 0),
        (9, 1000, 15_000, 1000, False, 300),
        (10, 399, 15_000, 1000, False, 99),
        (0, 0, 0, 0, False, 0),
    ],
)
def test_the_excess_is_what_the_tokens_above_the_limit_cost(
    calls: int, cost: int, tokens_in: int, tokens_out: int, fires: bool, excess: int
) -> None:
    sums = PromptSums(*(np.array([n]) for n in (calls, cost, tokens_in, tokens_out)))
    found = prompt_budget(sums, RULE)
    assert (found.fires[0], found.excess_nanousd[0]) == (fires, excess)
