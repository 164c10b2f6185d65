"""Sums per tenant with feature and pane of five minutes: what the recipe reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from benchmarks.detection import prices
from benchmarks.detection.calls import Calls
from benchmarks.detection.company import FRONTIER, MODELS, Company
from benchmarks.detection.panes import PANES, pane_of
from benchmarks.detection.traces import Floats

BINS: Final = 42
BIN_RATIO: Final = 1.275
BIN_FIRST: Final = 16.0
OFF_BOOK: Final = 0.02


@dataclass(frozen=True)
class CellPanes:
    """Sums of every cell, float64[cells, PANES] each.

    Attributes:
        flags: by signal, calls that are retries, on a frontier model, with cache reads, off the book's price.
        lengths: by signal, uint16[cells, PANES, BINS]: calls per logarithmic bin of prompt or output length.
        runs: agent runs that started. step: the largest step of any run.
    """

    calls: Floats
    usd: Floats
    flags: dict[str, Floats]
    lengths: dict[str, npt.NDArray[np.uint16]]
    runs: Floats
    step: Floats


def sums(company: Company, calls: Calls) -> CellPanes:
    """Aggregate the calls of a seed."""
    cells = len(company.cells)
    key = calls["cell"].astype(np.int64) * PANES + pane_of(calls)

    def counted(weights: npt.NDArray[np.generic] | None = None) -> Floats:
        return np.bincount(key, weights, cells * PANES).reshape(cells, PANES).astype(np.float64)

    listed = prices.price(calls)
    off = np.abs(calls["cost"] - listed) > OFF_BOOK * listed
    frontier = np.isin(calls["model"], [MODELS.index(name) for name in FRONTIER])
    step = np.zeros(cells * PANES)
    np.maximum.at(step, key, calls["step"].astype(np.float64))
    return CellPanes(
        counted(),
        counted(calls["cost"] / 1e9),
        {
            "retry": counted(calls["attempt"] > 1),
            "tier": counted(frontier),
            "cache": counted(calls["cached"] > 0),
            "price": counted(off),
        },
        {
            "prompt": _histogram(key, calls["input"], cells),
            "output": _histogram(key, calls["output"], cells),
        },
        counted((calls["step"] == 1) & (calls["attempt"] == 1)),
        step.reshape(cells, PANES),
    )


def _histogram(
    key: npt.NDArray[np.int64], tokens: npt.NDArray[np.int32], cells: int
) -> npt.NDArray[np.uint16]:
    place = np.floor(np.log(np.maximum(tokens, 1) / BIN_FIRST) / np.log(BIN_RATIO)) + 1
    bins = np.clip(place, 0, BINS - 1).astype(np.int64)
    counts = np.bincount(key * BINS + bins, minlength=cells * PANES * BINS)
    return np.minimum(counts, 65_535).astype(np.uint16).reshape(cells, PANES, BINS)
