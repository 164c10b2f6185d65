"""Axes that are scored together get, to the last bit, what each gets alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from tokenfuse.detect.arrays import IntArray
from tokenfuse.detect.drift import NOTHING, ScopeScores, score_axes
from tokenfuse.detect.signals import CELL_SIGNALS
from tokenfuse.detect.units import UnitScores

UNITS = 40
FIELDS = ("z", "effect", "mean", "usual", "calls")
AXES = st.lists(st.integers(1, 9), min_size=1, max_size=4)


def units(random: np.random.Generator) -> UnitScores:
    """Some of the units have calls; all columns but the residuals are positive."""
    unit = np.flatnonzero(random.random(UNITS) < 0.7)
    columns = random.lognormal(2.0, 1.5, (7, len(CELL_SIGNALS), len(unit)))
    columns[3:5] *= random.choice([-1.0, 1.0], columns[3:5].shape)
    return UnitScores(tuple(CELL_SIGNALS), unit, columns, 300)


def alone(scores: UnitScores, scopes_of: list[IntArray], counts: list[int]) -> list[ScopeScores]:
    return [score_axes(scores, [scope], [count])[0] for scope, count in zip(scopes_of, counts, strict=True)]


@given(AXES, st.integers(0, 10_000))
def test_axes_scored_together_score_as_alone(counts: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    scopes_of = [random.integers(NOTHING, count, UNITS) for count in counts]
    scores = units(random)
    together = score_axes(scores, scopes_of, counts)
    for one, other in zip(together, alone(scores, scopes_of, counts), strict=True):
        for name in FIELDS:
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
