"""Agents: what a run has done so far, against an explicit limit or the largest that runs of its feature ever did.

False alarms: sums and maxima are exact, so a limit is told only when it is passed. A record is passed by chance by one
day in as many as it holds; `times_record` asks for more than that, and for more than a run of usual size. The sketch of
tool calls is an estimate: for n different calls its square divided by n exceeds 10 with a probability of 4e-8 (a chi
square of four sums), and for n times the same call it is n.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tokenfuse.contracts.measures import INDEX, MAXIMA
from tokenfuse.contracts.ruleset import AgentRule
from tokenfuse.contracts.sketch import BITS, SUMS
from tokenfuse.detect.arrays import BoolArray, FloatArray, IntArray

RECORDED: Final = ("steps", "depth", "tool_calls", "tokens", "seconds", "retries", "children", "context")
"""Measures of which features have a record."""

DEPTH, STEP = MAXIMA.index("depth"), MAXIMA.index("step")
CONTEXT_CALLS_MIN: Final = 3
"""Fewer calls have no mean context worth comparing."""


def of_runs(totals: IntArray, maxima: IntArray, lived_s: IntArray, recent: IntArray) -> dict[str, IntArray]:
    """What runs have done so far, int64[n] by measure.

    Args:
        totals: int64[n, M], sums since each run began. maxima: int64[n, len(MAXIMA)].
        lived_s: int64[n], from the first to the newest call, seconds.
        recent: int64[n, 2], calls and input tokens of the last ten minutes.
    """
    column = {name: totals[:, place] for name, place in INDEX.items()}
    calls = np.maximum(column["calls"], 1)
    context = np.where(recent[:, 0] >= CONTEXT_CALLS_MIN, recent[:, 1] // np.maximum(recent[:, 0], 1), 0)
    return {
        "steps": np.where(maxima[:, STEP] > 0, maxima[:, STEP], column["calls"] - column["retries"]),
        "depth": maxima[:, DEPTH],
        "tool_calls": column["tool_calls"],
        "tokens": column["input_tokens"] + column["output_tokens"],
        "seconds": lived_s,
        "retries": column["retries"],
        "children": column["children"],
        "context": context,
        "repetition": (squares(column["tool_sketch"]) / calls).astype(np.int64),
    }


def squares(sketch: IntArray) -> FloatArray:
    """Estimated sum of squares of how often each distinct tool call was made, float64[n] from int64[n]."""
    half, whole = 1 << (BITS - 1), 1 << BITS
    total, rest = np.zeros(len(sketch)), sketch.copy()
    for _ in range(SUMS):
        low = (rest + half) % whole - half
        total += low.astype(np.float64) ** 2
        rest = (rest - low) // whole
    return total / SUMS


def thresholds(rule: AgentRule, record: IntArray, days: IntArray, peers: int) -> FloatArray:
    """Above what each run fires, float64[n]; inf: never.

    Args:
        rule: limit, record and least value.
        record: int64[n], the largest of the run's feature in the days before.
        days: int64[n], on how many of those days the feature had runs.
        peers: the largest record of all features with enough days; 0: there is none.
    """
    limit: FloatArray = np.full(len(record), np.inf if rule.limit is None else float(rule.limit))
    if rule.times_record is None:
        usual = np.full(len(record), np.inf)
    else:
        known = np.where(days >= rule.record_days_min, record, peers)
        usual = np.where(known > 0, known * rule.times_record, np.inf)
    threshold: FloatArray = np.maximum(np.minimum(limit, usual), rule.at_least)
    return threshold


def over(value: IntArray, threshold: FloatArray, cost_nanousd: IntArray, rule: AgentRule) -> BoolArray:
    """Which runs fire, bool[n]."""
    fires: BoolArray = (value > threshold) & (cost_nanousd >= rule.floor_nanousd)
    return fires
