"""Prompt budgets: input tokens of the mean call against a limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenfuse.contracts.ruleset import PromptBudgetRule
from tokenfuse.detect.arrays import IntArray
from tokenfuse.detect.drivers import OUTPUT_WEIGHT
from tokenfuse.detect.limit import LimitScore, quotient


@dataclass(frozen=True, slots=True)
class PromptSums:
    """Sums of n scopes over one window, int64[n] each, named as in contracts.measures."""

    calls: IntArray
    cost_nanousd: IntArray
    input_tokens: IntArray
    output_tokens: IntArray


def prompt_budget(sums: PromptSums, rule: PromptBudgetRule) -> LimitScore:
    """Compares the mean with the limit.

    The excess is the part of the cost that the tokens above the limit have, an output token weighing as much as five of
    input: how every other split of dollars between tokens weighs them (detect.drivers).
    """
    value = quotient(sums.input_tokens, sums.calls)
    weight = np.maximum(sums.input_tokens + OUTPUT_WEIGHT * sums.output_tokens, 1)
    above = np.maximum(sums.input_tokens - rule.limit * sums.calls, 0)
    excess = (sums.cost_nanousd * (above / weight)).astype(np.int64)
    fires = (value > rule.limit) & (sums.calls >= rule.calls_min)
    return LimitScore(fires & (excess >= rule.floor_nanousd), value, excess)
