"""What a scope spent: calls and nano-dollars of its units in ten-second panes, summed over any time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
HOUR_S: Final = 3600
NEVER: Final = np.empty(0, np.int64)


@dataclass(frozen=True)
class Spend:
    """n rows, ascending by pane; int64[n] each, exact.

    Attributes:
        unit: what a call of its own price is: a cell of the scope. pane_s: start of the pane. A correction has a row
            of its own, which may be negative.
    """

    unit: Ints
    pane_s: Ints
    calls: Ints
    cost_nanousd: Ints

    def between(self, from_ms: int, to_ms: int) -> Spend:
        """The panes that begin in [from_ms, to_ms)."""
        low, high = np.searchsorted(self.pane_s, (-(-from_ms // 1000), -(-to_ms // 1000)))
        part = slice(int(low), int(high))
        return Spend(self.unit[part], self.pane_s[part], self.calls[part], self.cost_nanousd[part])

    def outside(self, hours_s: Ints) -> Spend:
        """All rows that lie in none of some hours."""
        kept = ~np.isin(self.pane_s - self.pane_s % HOUR_S, hours_s)
        return Spend(self.unit[kept], self.pane_s[kept], self.calls[kept], self.cost_nanousd[kept])

    @property
    def total_nanousd(self) -> int:
        """What all of it cost."""
        return int(self.cost_nanousd.sum())

    def by_unit(self) -> Mapping[int, tuple[int, int]]:
        """Calls and cost of every unit."""
        units, place = np.unique(self.unit, return_inverse=True)
        calls, cost = np.zeros(len(units), np.int64), np.zeros(len(units), np.int64)
        np.add.at(calls, place, self.calls)
        np.add.at(cost, place, self.cost_nanousd)
        return {u: (n, c) for u, n, c in zip(units.tolist(), calls.tolist(), cost.tolist(), strict=True)}

    def merged(self, units: Mapping[int, int]) -> Spend:
        """The same with other units."""
        old, place = np.unique(self.unit, return_inverse=True)
        new = np.array([units[u] for u in old.tolist()], np.int64)
        return Spend(new[place], self.pane_s, self.calls, self.cost_nanousd)

    @cached_property
    def hourly(self) -> Mapping[int, int]:
        """Nano-dollars by the start of the hour, hours without rows left out."""
        hours, place = np.unique(self.pane_s - self.pane_s % HOUR_S, return_inverse=True)
        cost = np.zeros(len(hours), np.int64)
        np.add.at(cost, place, self.cost_nanousd)
        return dict(zip(hours.tolist(), cost.tolist(), strict=True))


EMPTY: Final = Spend(NEVER, NEVER, NEVER, NEVER)
