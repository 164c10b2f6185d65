"""Reads the traces in `data/` (see SOURCES.md there) as arrays."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

DATA: Final = Path(__file__).parent / "data"
WINDOW_S: Final = 600
WEEK_WINDOWS: Final = 7 * 144
CURVE_WINDOWS: Final = 28
"""Six-hour windows of a week."""

SHARES: Final = np.array([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0])
QUANTILES: Final = ("p10", "p25", "p50", "p75", "p90", "p99", "max")
MOONCAKE_BLOCK_TOKENS: Final = 512

UNEVEN_MAX: Final = 1.8
"""A client whose two weeks differ by more is growing or shrinking: that is an incident of its own, without a label."""
WINDOWS_MIN: Final = 300

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Client:
    """One client of ServeGen, both weeks.

    Attributes:
        counts: float64[2, 1008], calls per 10 minutes. cv: float64[2, 1008], variation coefficient of the gaps.
        inputs, outputs: float64[2, 28, 8], quantiles at SHARES per 6 hours; None: the trace does not say.
    """

    kind: str
    name: str
    counts: Floats
    cv: Floats
    inputs: Floats | None
    outputs: Floats | None


@cache
def clients() -> tuple[Client, ...]:
    """Clients with both weeks of about the same size, by kind and name."""
    curves = _curves()
    found: dict[tuple[str, str], tuple[Floats, Floats]] = {}
    for row in rows("servegen_clients_10min.csv.gz"):
        if row["category"] != "language":
            continue
        key = (row["model"], row["client"])
        counts, cv = found.setdefault(key, (np.zeros((2, WEEK_WINDOWS)), np.ones((2, WEEK_WINDOWS))))
        week, window = divmod(int(float(row["t_s"])) // WINDOW_S, WEEK_WINDOWS)
        if week < 2:
            counts[week, window] = float(row["rate_rps"]) * WINDOW_S
            cv[week, window] = float(row["cv"] or 1)
    return tuple(
        Client(*key, *found[key], curves.get((*key, "input_tokens")), curves.get((*key, "output_tokens")))
        for key in sorted(found)
        if _even(found[key][0])
    )


def _even(counts: Floats) -> bool:
    sums = counts.sum(1)
    days = (counts.reshape(2, 7, 144).sum(2) > 0).sum(1)
    return bool(
        days.min() >= 6 and sums.min() * UNEVEN_MAX >= sums.max() and (counts > 0).sum() >= WINDOWS_MIN
    )


def _curves() -> dict[tuple[str, str, str], Floats]:
    found: dict[tuple[str, str, str], dict[int, list[float]]] = {}
    for row in rows("servegen_tokens_windows.csv.gz"):
        points = [float(row[name]) for name in QUANTILES]
        # The lowest tenth is not described: half of its upper end is taken as the shortest.
        window = int(float(row["t_s"])) // (6 * 3600)
        key = (row["model"], row["client"], row["field"])
        found.setdefault(key, {})[window] = [points[0] / 2, *points]
    return {key: _filled(known) for key, known in found.items()}


def _filled(known: dict[int, list[float]]) -> Floats:
    """float64[2, 28, 8]: windows that the trace lacks take the nearest known one."""
    at = np.array(sorted(known))
    nearest = [int(at[np.abs(at - window).argmin()]) for window in range(2 * CURVE_WINDOWS)]
    return np.array([known[window] for window in nearest]).reshape(2, CURVE_WINDOWS, len(SHARES))


@cache
def reasoning() -> Floats:
    """float64[n, 2, 28, 8]: prompts and answers of clients of a reasoning model. One day: both weeks are the same."""
    curves = _curves()
    names = sorted({client for model, client, _ in curves if model == "deepseek-r1"}, key=int)
    pairs = [
        (curves["deepseek-r1", name, "input_tokens"], curves["deepseek-r1", name, "output_tokens"])
        for name in names
    ]
    # Windows 0 to 3 are the day; later ones repeat the nearest, so the day is laid over the week.
    return np.array([[np.tile(field[0, :4], (7, 1)) for field in pair] for pair in pairs])


@cache
def agent_runs() -> tuple[npt.NDArray[np.int64], ...]:
    """Runs of coding agents as int64[n, 5]: sub, input, output, cached tokens, gap in milliseconds."""
    runs: dict[str, list[tuple[int, ...]]] = {}
    for row in rows("cc_agent_requests.csv.gz"):
        tokens = int(row["input_tokens"])
        # People leave their desks: a pause of days says nothing about spending.
        gap_s = float(row["api_time_s"] or 0) + min(float(row["think_time_s"] or 0), 120.0)
        runs.setdefault(row["trace"], []).append(
            (
                int(row["sub"]),
                tokens,
                int(row["output_tokens"]),
                min(int(row["prefix_cached_tokens"]), tokens),
                int(1000 * max(gap_s, 0.5)),
            )
        )
    return tuple(np.array(runs[name], np.int64) for name in sorted(runs))


@cache
def exchanges(source: str) -> npt.NDArray[np.int64]:
    """int64[n, 3]: input, output and cached tokens of `mooncake` or `azure`, in the trace's order."""
    if source == "azure":
        found = [
            (int(row["ContextTokens"]), int(row["GeneratedTokens"]), 0)
            for row in rows("azure2023_code.csv.gz")
        ]
    else:
        found = [
            (
                int(row["input_length"]),
                int(row["output_length"]),
                min(int(row["prefix_hit_blocks"]) * MOONCAKE_BLOCK_TOKENS, int(row["input_length"])),
            )
            for row in rows("mooncake_synthetic.csv.gz")
        ]
    return np.array(found, np.int64)


def rows(name: str) -> Iterator[dict[str, str]]:
    """Rows of one file."""
    with gzip.open(DATA / name, "rt", newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)
