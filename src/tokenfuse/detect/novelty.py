"""Novelty: values that nobody knew and that spend money.

What is known needs no memory of its own: a scope keeps the time of its first call for as long as it lives, which is 32 days
after its last one. It is new within a window of that first call, so it is told once and never again.

False alarms: none by chance, since sums are exact. In the first hours of an installation everything is new, and nothing of it is
news: what was first seen then never fires.
"""

from __future__ import annotations

import numpy as np

from tokenfuse.contracts.rulekinds.novelty import NoveltyRule
from tokenfuse.detect.arrays import BoolArray, IntArray


def is_new(first_s: IntArray, now_s: int, began_s: int, rule: NoveltyRule) -> BoolArray:
    """Which of n scopes are new, whatever they spend: bool[n].

    Args:
        first_s: int64[n], first call. now_s: until when time is known. began_s: since when anything is watched.
        rule: window and learning time.
    """
    learned = first_s >= began_s + rule.baseline_hours_min * 3600
    return np.asarray(learned & (first_s < now_s) & (first_s > now_s - rule.window_seconds))


def novelty(new: BoolArray, spent_nanousd: IntArray, rule: NoveltyRule) -> BoolArray:
    """Which of n scopes fire: bool[n].

    Args:
        new: bool[n], as of `is_new`.
        spent_nanousd: int64[n], since the first call. rule: the floor.
    """
    return np.asarray(new & (spent_nanousd >= rule.floor_nanousd))
