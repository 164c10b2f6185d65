"""The whole job on a batch of events, as a user of numpy writes it: de-duplicate, price, and sum by scope and pane.

What Bytewax runs. It keeps the same 25 sums as TokenFuse (`lean`: six of them) over five axes, runs and cells; it keeps no
maxima and no dearest call, writes no block and commits nothing, so it has less to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

import numpy as np
from benchmarks.speed.contenders.common import AXES, Event
from benchmarks.speed.truth import PANE_SECONDS
from numpy.typing import NDArray

from tokenfuse.contracts.event import CostEvent
from tokenfuse.pricing.book import PriceBook

HORIZON_MS: Final = 600_000
NANO: Final = 10**9
AXES_AND_RUNS: Final = (*AXES, "run_id")
GETTERS: Final = [attrgetter(axis) for axis in AXES_AND_RUNS]
MEASURES: Final = 25
LEAN: Final = 6

Ints = NDArray[np.int64]


class Horizon:
    """Ids seen in the last ten minutes of event time: two sets, the older one forgotten when the newer is full grown."""

    def __init__(self) -> None:
        """Nothing seen."""
        self._now: set[str] = set()
        self._before: set[str] = set()
        self._until_ms = 0

    def fresh(self, events: Iterable[Event]) -> list[Event]:
        """Those not seen before."""
        now, before = self._now, self._before
        fresh = []
        for event in events:
            if event.id in now or event.id in before:
                continue
            now.add(event.id)
            fresh.append(event)
        if fresh and fresh[-1].time > self._until_ms:
            self._until_ms = fresh[-1].time + HORIZON_MS
            self._now, self._before = set(), now
        return fresh


class Prices(dict[tuple[str, str], tuple[int, int, int, int]]):
    """Nano-dollars per token of input, output and cached input, and the tier of a model; looked up once each."""

    def __init__(self) -> None:
        """Empty."""
        super().__init__()
        self._book = PriceBook()

    def __missing__(self, model: tuple[str, str]) -> tuple[int, int, int, int]:
        provider, name = model
        call = CostEvent(
            id="x",
            time=0,
            tenant="t",
            feature="f",
            model=name,
            provider=provider,
            input_tokens=1,
            output_tokens=1,
        )
        entry = self._book.entry(call, 1_764_000_000_000)
        if entry.prices is None or entry.prices.denominator != 1 or len(entry.prices.bands) > 2:
            raise ValueError(f"{model}: this job has no price for it")
        band = entry.prices.bands[-1]
        prices = self[model] = band.input, band.output, band.cache_read, entry.tier
        return prices


class Codes(dict[Any, int]):
    """A number for each value, in the order of their first sight."""

    def __missing__(self, value: Any) -> int:
        code = self[value] = len(self)
        return code


class Sums:
    """Sums of one axis and pane, one row per value; grows by doubling."""

    def __init__(self, measures: int) -> None:
        """No values yet."""
        self.rows = np.zeros((64, measures), np.int64)

    def add(self, code: Ints, table: Ints) -> None:
        """Add each row of the table to its value."""
        while code.max() >= len(self.rows):
            self.rows = np.concatenate([self.rows, np.zeros_like(self.rows)])
        order = np.argsort(code, kind="stable")
        ordered = code[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1))
        self.rows[ordered[starts]] += np.add.reduceat(table[order], starts)


class Job:
    """State of the job; `take` is called with the values of a batch of messages."""

    def __init__(self, decode: Callable[[bytes], Event], *, lean: bool = False) -> None:
        """Nothing seen."""
        self._decode, self._lean = decode, lean
        self._horizon, self._prices = Horizon(), Prices()
        self._models = Codes()
        self._codes = {axis: Codes() for axis in (*AXES_AND_RUNS, "cell")}
        self._sums: dict[tuple[str, int], Sums] = {}

    def take(self, values: Iterable[bytes]) -> int:
        """One batch; returns how many events of it were new."""
        fresh = self._horizon.fresh(map(self._decode, values))
        if not fresh:
            return 0
        count = len(fresh)
        table = self._table(fresh)
        panes = (
            np.fromiter([event.time for event in fresh], np.int64, count)
            // (1000 * PANE_SECONDS)
            * PANE_SECONDS
        )
        axes = {}
        for axis, get in zip(AXES_AND_RUNS, GETTERS, strict=True):
            axes[axis] = np.fromiter(map(self._codes[axis].__getitem__, map(get, fresh)), np.int64, count)
        cells = [(e.tenant, e.feature, e.model, e.prompt_template) for e in fresh]
        axes["cell"] = np.fromiter(map(self._codes["cell"].__getitem__, cells), np.int64, count)
        starts = np.unique(panes).tolist()
        for pane in starts:
            chosen = slice(None) if len(starts) == 1 else np.flatnonzero(panes == pane)
            for axis, code in axes.items():
                if (axis, pane) not in self._sums:
                    self._sums[axis, pane] = Sums(table.shape[1])
                self._sums[axis, pane].add(code[chosen], table[chosen])
        return count

    def totals(self) -> dict[tuple[str, str, int], tuple[int, ...]]:
        """Sums by axis, value and pane, in the order of `truth.MEASURES`."""
        found = {}
        for (axis, pane), sums in self._sums.items():
            for value, code in self._codes[axis].items():
                if value is not None and code < len(sums.rows) and sums.rows[code, 0]:
                    name = _cell(value) if axis == "cell" else value
                    found[axis, name, pane] = tuple(sums.rows[code, :LEAN].tolist())
        return found

    def _table(self, fresh: list[Event]) -> Ints:
        count = len(fresh)

        def column(values: Iterable[Any]) -> Ints:
            return np.fromiter(values, np.int64, count)

        model = column(map(self._models.__getitem__, [(e.provider, e.model) for e in fresh]))
        price = np.array([self._prices[name] for name in self._models])[model]
        inputs, outputs = column([e.input_tokens for e in fresh]), column([e.output_tokens for e in fresh])
        cached = column([e.cache_read_tokens for e in fresh])
        cost = (inputs - cached) * price[:, 0] + outputs * price[:, 1] + cached * price[:, 2]
        for place in [i for i, e in enumerate(fresh) if e.cost_usd is not None]:
            cost[place] = int(Decimal(fresh[place].cost_usd) * NANO)
        retries = column([e.attempt > 1 for e in fresh])
        first = (np.ones(count, np.int64), cost, inputs, outputs, cached, retries)
        if self._lean:
            return np.stack(first, axis=1)
        table = np.zeros((count, MEASURES), np.int64)
        table[:, :LEAN] = np.stack(first, axis=1)
        self._fill(table, fresh, price[:, 3], inputs, outputs)
        return table

    @staticmethod
    def _fill(table: Ints, fresh: list[Event], tier: Ints, inputs: Ints, outputs: Ints) -> None:
        """The other measures. Unpriced calls, cache writes, reasoning, context, answers from a cache, tools: none here."""
        latency = np.fromiter([e.latency_ms for e in fresh], np.float64, len(fresh)).astype(np.int64)
        prompt, output = (np.rint(256 * np.log2(1 + n)).astype(np.int64) for n in (inputs, outputs))
        table[:, 6] = [e.status in {"error", "aborted"} for e in fresh]
        table[:, 7] = table[:, 4] > 0
        table[:, 8:12] = tier[:, None] == np.arange(4)
        table[:, 12], table[:, 13] = np.maximum(latency, 0), latency >= 0
        table[:, 14], table[:, 15], table[:, 16], table[:, 17] = (
            prompt,
            prompt * prompt,
            output,
            output * output,
        )


def _cell(values: tuple[str, ...]) -> str:
    tenant, feature, model, template = values
    return f"feature={feature}&model={model}&prompt_template={template}&tenant={tenant}"
