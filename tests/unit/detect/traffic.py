"""Synthetic traffic as the sums that the detectors see; every call is drawn, nothing is an expectation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tokenfuse.contracts.measures import INDEX, LOG_SCALE, MEASURES

INPUT, OUTPUT, CACHE_READ = 3_000, 15_000, 300  # nano-dollars a token


@dataclass(frozen=True)
class Cell:
    """How the calls of one cell look."""

    per_hour: float = 120
    prompt: float = 1000
    output: float = 200
    spread: float = 0.5
    cached: float = 0.8
    retried: float = 0.02
    frontier: bool = False
    price: float = 1.0
    run: int = 0
    """Calls of an agent run, all alike; 0: calls are no agents'."""

    def but(self, **changes) -> Cell:
        return replace(self, **changes)


def sums(cell: Cell, hours: float, rng: np.random.Generator) -> np.ndarray:
    """int64[M]: what Poisson many calls of a cell add up to over that time."""
    each = max(cell.run, 1)
    runs = rng.poisson(cell.per_hour * hours / each)
    n = runs * each
    prompt, output = (
        np.repeat(np.rint(length * rng.lognormal(0, cell.spread, runs)).astype(np.int64), each)
        for length in (cell.prompt, cell.output)
    )
    hit = np.repeat(rng.random(runs) < cell.cached, each)
    read = np.where(hit, prompt * 9 // 10, 0)
    cost = np.rint(cell.price * (INPUT * (prompt - read) + CACHE_READ * read + OUTPUT * output)).astype(
        np.int64
    )
    prompt_log, output_log = (np.rint(LOG_SCALE * np.log2(1 + t)).astype(np.int64) for t in (prompt, output))
    row = dict.fromkeys(MEASURES, 0) | {
        "calls": n, "cost_nanousd": cost.sum(), "input_tokens": prompt.sum(), "output_tokens": output.sum(),
        "cache_read_tokens": read.sum(), "cached_calls": hit.sum(), "retries": (rng.random(n) < cell.retried).sum(),
        "runs": runs if cell.run else 0,
        "tier_frontier" if cell.frontier else "tier_small": n,
        "prompt_log": prompt_log.sum(), "prompt_log_sq": (prompt_log**2).sum(),
        "output_log": output_log.sum(), "output_log_sq": (output_log**2).sum(),
    }  # fmt: skip
    return np.array([row[name] for name in MEASURES], dtype=np.int64)


def history(cells: list[Cell], hours: int, rng: np.random.Generator) -> np.ndarray:
    """int64[M, hours, c]."""
    return np.stack([[sums(cell, 1, rng) for cell in cells] for _ in range(hours)]).transpose(2, 0, 1)


def window(cells: list[Cell], hours: float, rng: np.random.Generator) -> np.ndarray:
    """int64[M, c]."""
    return np.stack([sums(cell, hours, rng) for cell in cells], axis=1)


def measure(array: np.ndarray, name: str) -> np.ndarray:
    return array[INDEX[name]]
