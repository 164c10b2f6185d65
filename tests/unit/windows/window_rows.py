"""Rows of blocks for tests of the windows, and what they must add up to, computed the slow way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from tokenfuse.contracts.measures import INDEX, MAXIMA
from tokenfuse.contracts.rollup import Rollup
from tokenfuse.windows.pane import WIDTH
from tokenfuse.windows.rows import Rows

COST = INDEX["cost_nanousd"]
T0_S = 1_790_000_000
DAY_S = 86_400

Add = tuple[str, int, int]
"""Scope value, pane start, cost."""


def rows(*adds: Add) -> Rows:
    """The rows of one axis in one block: one per (value, pane), sorted, as ingest sends them."""
    summed: dict[tuple[str, int], int] = defaultdict(int)
    for value, pane_s, cost in adds:
        summed[value, pane_s] += cost
    values = tuple(sorted({value for value, _ in summed}))
    keys = sorted(summed)
    sums = np.zeros((len(keys), WIDTH), np.int64)
    sums[:, 0] = 1
    sums[:, COST] = [summed[key] for key in keys]
    return Rows(
        values=values,
        cells=(),
        scope=np.array([values.index(value) for value, _ in keys], np.int32),
        pane_s=np.array([pane_s for _, pane_s in keys], np.int64),
        sums=sums,
        maxima=np.zeros((len(keys), len(MAXIMA)), np.int64),
        dearest_nanousd=np.maximum(sums[:, COST], 0),
        dearest_id=tuple(f"{value}@{pane_s}" for value, pane_s in keys),
    )


class Warehouse:
    """What an outside reader of the rollups has: the latest revision per key."""

    def __init__(self) -> None:
        self.latest: dict[tuple[str, str, int], int] = {}

    def read(self, rollups: Iterable[Rollup]) -> None:
        """Upsert."""
        for r in rollups:
            self.latest[r.value, r.granularity, r.pane_start_s] = r.sums[COST]

    def by_value(self, *granularities: str) -> dict[str, int]:
        """Sum over all panes of some granularities."""
        found: dict[str, int] = defaultdict(int)
        for (value, granularity, _), cost in self.latest.items():
            if granularity in granularities:
                found[value] += cost
        return dict(found)
