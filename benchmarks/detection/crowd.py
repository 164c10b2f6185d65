"""A company of 100,000 scopes, as the slices that ingest would cut of its calls: what the cost row is measured on.

Calls are drawn as columns and summed by ingest's own aggregator, so a minute of a thousand calls a second takes a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tokenfuse.contracts.axes import AXES
from tokenfuse.contracts.block import FORMAT, DeltaBlock
from tokenfuse.contracts.packed import PackedRows
from tokenfuse.ingest.aggregate import Aggregator
from tokenfuse.ingest.columns import Measured
from tokenfuse.ingest.names import NONE, Names
from tokenfuse.ingest.table import NUMBER, NUMBERS, CallTable, objects

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TEMPLATES_PER_FEATURE: Final = 50
FEATURES_PER_TENANT: Final = 10
MODELS: Final = 8
FRONTIER, MID = 2, 1
ZIPF: Final = 0.9
"""Exponent of the shares of cells, users and runs."""
NANOUSD_PER_INPUT: Final = 2
NANOUSD_PER_OUTPUT: Final = 8
"""Small models: nobody is over the caps that `rules/` ship, which would be another load."""


@dataclass(frozen=True)
class Sizes:
    """How many there are of each.

    Attributes:
        cells: distinct combinations of tenant, feature, template and model. The scopes of every axis are sums over them.
    """

    tenants: int = 200
    features: int = 40
    cells: int = 20_000
    users: int = 60_000
    runs: int = 35_000


class WeightyAggregator(Aggregator):
    """Every call that is drawn stands for so many alike: two weeks of a million calls an hour would take a day to draw."""

    def __init__(self) -> None:
        """One call is one call."""
        super().__init__((), 1)
        self.weight = 1

    def _parts(self, calls: CallTable, table: Measured) -> Iterator[tuple[int, PackedRows]]:
        rows = table.rows._replace(sums=table.rows.sums * self.weight)
        return super()._parts(calls, table._replace(rows=rows))


class Crowd:
    """Draws slices of calls; the same seed and the same questions give the same slices.

    Attributes:
        grown: tenants whose prompts are three times as long from now on.
    """

    def __init__(self, sizes: Sizes, *, everybody: bool, seed: int = 1) -> None:
        """Draw who there is: cells, with the lengths of their calls and their shares of the traffic.

        Args:
            sizes: how many.
            everybody: cells, users and runs have their turn one after the other, instead of by their shares.
            seed: of all draws.
        """
        self._everybody = everybody
        self._random = np.random.default_rng(seed)
        self._aggregator = WeightyAggregator()
        self._names = Names(AXES)
        self._sizes = sizes
        self._cells = self._numbered(_cells(self._random, sizes))
        self._people = [
            _numbers(self._names, axis, [f"{axis}-{i:06d}" for i in range(count)])
            for axis, count in (("user", sizes.users), ("run_id", sizes.runs))
        ]
        self._ranks = [_shares(count) for count in (sizes.cells, sizes.users, sizes.runs)]
        self._order = self._random.permutation(sizes.cells)
        self._prompt = self._random.uniform(6.0, 9.5, sizes.cells)
        self._output = self._random.uniform(4.0, 7.0, sizes.cells)
        self._cached = self._random.uniform(0.1, 0.9, sizes.cells)
        self._retried = self._random.uniform(0.0, 0.04, sizes.cells)
        self._frontier = self._cells[AXES.index("model")] % 2 == 0
        self._position = 0
        self._covered = 0
        self.grown: set[str] = set()

    def slice(
        self, calls: int, first_ms: int, last_ms: int, *, history: bool = False, weight: int = 1
    ) -> DeltaBlock:
        """The next slice of source partition 0: so many calls of [first_ms, last_ms], by one owner of everything.

        Args:
            calls: how many.
            first_ms, last_ms: times of the first and the last call.
            history: it teaches only.
            weight: each of them stands for so many.
        """
        times = np.linspace(first_ms, last_ms, calls).astype(np.int64)
        self._aggregator.weight = weight
        table = self._table(times)
        nothing = CallTable.of([], self._names)
        rows = self._aggregator.table_rows(table, nothing)[0]
        a, self._position = self._position, self._position + calls
        return DeltaBlock(FORMAT, 0, a, self._position, last_ms, last_ms, history, "bench", rows)

    def _table(self, times: Ints) -> CallTable:
        n = len(times)
        cell, *people = (self._drawn(kind, n) for kind in range(3))
        cell = self._order[cell]
        self._covered += n
        axes = np.concatenate(
            [self._cells[:, cell], [of[who] for of, who in zip(self._people, people, strict=True)]]
        )
        ids = objects([f"c{i}" for i in range(self._position, self._position + n)])
        return CallTable(self._names, ids, axes, self._drawn_numbers(cell, times), np.full(n, NONE), {})

    def _drawn(self, kind: int, n: int) -> Ints:
        """Which cell (0), user (1) or run (2) makes each call."""
        shares = self._ranks[kind]
        if self._everybody:
            return (self._covered + np.arange(n)) % len(shares)
        return np.searchsorted(shares, self._random.random(n)).astype(np.int64)

    def _drawn_numbers(self, cell: Ints, times: Ints) -> Ints:
        draw, n = self._random, len(cell)
        grown = np.isin(self._cells[AXES.index("tenant"), cell], self._grown_numbers())
        prompt = np.exp(self._prompt[cell] + 0.5 * draw.standard_normal(n) + np.log(3.0) * grown).astype(
            np.int64
        )
        output = np.exp(self._output[cell] + 0.5 * draw.standard_normal(n)).astype(np.int64)
        columns = np.zeros((len(NUMBERS), n), np.int64)
        for name, values in {
            "time_ms": times,
            "input_tokens": prompt,
            "output_tokens": output,
            "cache_read_tokens": (draw.random(n) < self._cached[cell]) * (prompt // 2),
            "context_tokens": prompt,
            "retry": draw.random(n) < self._retried[cell],
            "tier": np.where(self._frontier[cell], FRONTIER, MID),
            "latency_ms": 300 + output * 8,
            "step": draw.integers(1, 30, n),
            "depth": draw.integers(1, 3, n),
            "cost_nanousd": prompt * NANOUSD_PER_INPUT + output * NANOUSD_PER_OUTPUT,
        }.items():
            columns[NUMBER[name]] = values
        return columns

    def _grown_numbers(self) -> list[int]:
        return [self._names.numbers[AXES.index("tenant")][tenant] for tenant in sorted(self.grown)]

    def _numbered(self, cells: Sequence[Sequence[str]]) -> Ints:
        """Names of the four cell axes by cell as numbers, int64[4, c]."""
        return np.stack(
            [_numbers(self._names, axis, values) for axis, values in zip(AXES, cells, strict=False)]
        )


def _cells(random: np.random.Generator, sizes: Sizes) -> list[list[str]]:
    """Distinct cells, by axis: every tenant uses some features, every feature has its templates, a call any model."""
    combinations = sizes.tenants * FEATURES_PER_TENANT * TEMPLATES_PER_FEATURE * MODELS
    chosen = np.sort(random.choice(combinations, sizes.cells, replace=False))
    tenant, rest = np.divmod(chosen, FEATURES_PER_TENANT * TEMPLATES_PER_FEATURE * MODELS)
    slot, rest = np.divmod(rest, TEMPLATES_PER_FEATURE * MODELS)
    template, model = np.divmod(rest, MODELS)
    feature = (tenant * 7 + slot) % sizes.features
    return [
        [f"tenant-{i:03d}" for i in tenant.tolist()],
        [f"feature-{i:02d}" for i in feature.tolist()],
        [f"model-{i}" for i in model.tolist()],
        [f"template-{f:02d}-{t:02d}" for f, t in zip(feature.tolist(), template.tolist(), strict=True)],
    ]


def _numbers(names: Names, axis: str, values: Sequence[str]) -> Ints:
    return names.numbers[AXES.index(axis)].of(values).copy()


def _shares(count: int) -> Floats:
    """Cumulated shares of ranks 1 to count, the last of them 1."""
    weights = np.arange(1, count + 1) ** -ZIPF
    total: Floats = weights.cumsum() / weights.sum()
    total[-1] = 1.0
    return total
