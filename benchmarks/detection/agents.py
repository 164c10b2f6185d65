"""Calls of agents: runs of the coding-agent traces, some with sub-agents, at the hours of a ServeGen client."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from benchmarks.detection import traces
from benchmarks.detection.calls import Calls, new
from benchmarks.detection.clock import JUDGED_MS
from benchmarks.detection.company import FEATURES, Cell
from benchmarks.detection.traffic import Order, arrivals, retried

RUN_CALLS_MEAN: Final = 61
BRANCHED: Final = 0.08
"""Share of runs that start a few sub-agents."""
CHILDREN: Final = (2, 7)
REPEATED: Final = 0.04
"""Share of tool calls that repeat the one before, as agents do."""
RUNS_PER_CELL_MAX: Final = 1_000_000


@dataclass
class Numbers:
    """Numbers of a cell's runs."""

    cell: int
    used: int = 0

    def take(self) -> int:
        """The next one; unique over cells."""
        self.used += 1
        return self.cell * RUNS_PER_CELL_MAX + self.used


def agent_calls(order: Order) -> Calls:
    """Every call of an agent cell; in no order, not yet priced."""
    cell = order.company.cells[order.cell]
    rng = order.rng("agents")
    starts = np.sort(arrivals(replace(order, calls=order.calls / RUN_CALLS_MEAN), rng))
    numbers = Numbers(order.cell)
    parts: list[Calls] = [new(0)]
    for start_ms in starts.tolist():
        pool = _pool(order, start_ms)
        run = numbers.take()
        parts.append(run_calls(pool[int(rng.integers(len(pool)))], start_ms, run, rng))
        if rng.random() < BRANCHED:
            parts += _children(parts[-1], pool, numbers, rng)
    calls = np.concatenate(parts)
    calls["cell"] = order.cell
    _set_rest(calls, cell, rng)
    return retried(calls, cell, rng, order)


def _pool(order: Order, at_ms: int) -> tuple[int, ...]:
    """Traces that may be drawn at a time: no run of the learned weeks comes again in the judged ones."""
    judged = at_ms >= JUDGED_MS and not order.steady
    return order.company.judged_runs if judged else order.company.learned_runs


def run_calls(trace: int, start_ms: int, run: int, rng: np.random.Generator) -> Calls:
    """One run, each call at its end; sub-agents of the trace are one level deeper in the same run."""
    known = traces.agent_runs()[trace]
    calls = new(len(known))
    calls["time_ms"] = start_ms + np.cumsum(known[:, 4])
    calls["depth"], calls["input"], calls["output"] = known[:, 0], known[:, 1], np.maximum(known[:, 2], 1)
    calls["cached"] = known[:, 3]
    calls["run"] = run
    calls["step"] = np.arange(1, len(known) + 1)
    calls["signature"] = signatures(len(known), rng)
    return calls


def signatures(count: int, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Hashes of tool calls; a few repeat the one before."""
    drawn = rng.integers(0, 2**48, count)
    again = rng.random(count) < REPEATED
    again[:1] = False
    drawn[again] = drawn[np.flatnonzero(again) - 1]
    return drawn


def _children(
    parent: Calls, pool: tuple[int, ...], numbers: Numbers, rng: np.random.Generator
) -> list[Calls]:
    """A few sub-agents, started by one step of the parent."""
    at = int(rng.integers(len(parent)))
    parts = []
    for _ in range(int(rng.integers(*CHILDREN))):
        start_ms = int(parent["time_ms"][at]) + int(rng.integers(500, 20_000))
        child = run_calls(pool[int(rng.integers(len(pool)))], start_ms, numbers.take(), rng)[:30]
        child["parent"], child["depth"] = parent["run"][0], 1
        parts.append(child)
    return parts


def _set_rest(calls: Calls, cell: Cell, rng: np.random.Generator) -> None:
    """One model and one user a run; latency follows the answer."""
    feature = FEATURES[cell.feature]
    runs, of_run = np.unique(calls["run"], return_inverse=True)
    dearer = rng.random(len(runs)) < cell.dearer
    calls["model"] = np.where(dearer[of_run], feature.dearer, feature.usual)
    calls["user"] = rng.integers(0, 40, len(runs))[of_run]
    calls["latency_ms"] = 800 + 15 * calls["output"] * rng.lognormal(0, 0.3, len(calls))
