"""Calls of people: arrivals, lengths, cache hits and retries of every cell without agents, drawn from the traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from benchmarks.detection import traces
from benchmarks.detection.calls import Calls, new
from benchmarks.detection.clock import DAY_MS, HOUR_MS, JUDGED_MS, LEARNED_DAYS, START_MS, WEEK_MS, stream
from benchmarks.detection.company import AGENT, FEATURES, MODELS, Cell, Company, pool
from benchmarks.detection.harmless import Harmless, rate
from benchmarks.detection.traces import SHARES, WEEK_WINDOWS, Client, Floats

WINDOW_MS: Final = traces.WINDOW_S * 1000
WEEKS: Final = 4
USERS: Final = 200
CACHE_BLOCK_TOKENS: Final = 128
INPUT_MAX: Final = 200_000
OUTPUT_MAX: Final = 32_000


@dataclass(frozen=True)
class Order:
    """How many calls of one cell are wanted in 28 days, and whether they are to be steady.

    Attributes:
        steady: no hours, no days, no bursts: the null run.
    """

    company: Company
    cell: int
    calls: float
    harmless: tuple[Harmless, ...]
    steady: bool

    def rng(self, name: str) -> np.random.Generator:
        """The cell's own random numbers."""
        return stream(self.company.seed, f"{name} {self.cell} {self.steady}")


def calls_of(order: Order) -> Calls:
    """Every call of one cell, retries among them; in no order, not yet priced."""
    cell = order.company.cells[order.cell]
    rng = order.rng("calls")
    time_ms = arrivals(order, rng)
    calls = new(len(time_ms))
    calls["time_ms"] = time_ms
    calls["cell"] = order.cell
    calls["user"] = (USERS * rng.random(len(calls)) ** 3).astype(np.int16)
    _set_model(calls, cell, rng, order)
    _set_lengths(calls, cell, rng, order)
    return retried(calls, cell, rng, order)


def arrivals(order: Order, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Times of a cell's first attempts, milliseconds since the epoch, unordered."""
    counts, cv = _pattern(order)
    starts = START_MS + WINDOW_MS * np.arange(len(counts))
    if order.steady:
        mean = order.calls / len(counts) * rate((), order.cell, starts)
        return _even(starts, rng.poisson(mean), rng)
    scale = order.calls / max(counts.sum(), 1.0)
    factor = rate(order.harmless, order.cell, starts.astype(np.float64))
    drawn = _thinned(counts, scale * factor, rng)
    thinned_cv = np.sqrt(1 + min(scale, 1.0) * (cv**2 - 1))
    return _bursty(starts, drawn, thinned_cv, rng)


def _pattern(order: Order) -> tuple[Floats, Floats]:
    """The client's calls per window and their burstiness over four weeks.

    The trace's first week twice to learn from, its second week twice to be judged on: the step from one to the other is
    the trace's own.
    """
    cell = order.company.cells[order.cell]
    weeks = [0, 0, 1, 1]
    return (
        np.concatenate([np.roll(cell.client.counts[week], -cell.shift) for week in weeks]),
        np.concatenate([np.roll(cell.client.cv[week], -cell.shift) for week in weeks]),
    )


def _thinned(counts: Floats, scale: Floats, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """A share of the trace's calls, so that their own clusters stay; more than all of them as Poisson numbers."""
    whole = counts.round().astype(np.int64)
    drawn = rng.binomial(whole, np.minimum(scale, 1.0))
    return np.where(scale <= 1, drawn, rng.poisson(counts * scale))


def _even(
    starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    return np.repeat(starts, counts) + rng.integers(0, WINDOW_MS, int(counts.sum()))


def _bursty(
    starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], cv: Floats, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Gamma-distributed gaps with each window's variation coefficient, scaled to the window."""
    some = np.flatnonzero(counts)
    if not len(some):
        return np.zeros(0, np.int64)
    gaps_of = counts[some] + 1
    gaps = rng.gamma(np.repeat(1 / np.maximum(cv[some], 0.1) ** 2, gaps_of)) + 1e-9
    ends = np.cumsum(gaps_of) - 1
    total = np.cumsum(gaps)
    base = np.concatenate([[0.0], total[ends[:-1]]])
    at = (total - np.repeat(base, gaps_of)) / np.repeat(total[ends] - base, gaps_of)
    inside = np.ones(len(at), bool)
    inside[ends] = False
    result: npt.NDArray[np.int64] = np.repeat(starts[some], counts[some]) + (WINDOW_MS * at[inside]).astype(
        np.int64
    )
    return result


# What a call is like.


def slow(
    rng: np.random.Generator, time_ms: npt.NDArray[np.int64], order: Order, day: float, hour: float
) -> Floats:
    """Noise that calls of the same day and hour share, float64[n], normal with these deviations; 0 in the null run."""
    hours = (time_ms - START_MS) // HOUR_MS
    daily = rng.normal(0, day, WEEKS * 7 + 1)
    hourly = rng.normal(0, hour, 24 * (WEEKS * 7 + 1))
    noise: Floats = daily[hours // 24] + hourly[hours]
    return np.zeros(len(time_ms)) if order.steady else noise


def _set_model(calls: Calls, cell: Cell, rng: np.random.Generator, order: Order) -> None:
    feature = FEATURES[cell.feature]
    share = np.minimum(cell.dearer * np.exp(slow(rng, calls["time_ms"], order, 0.12, 0.12)), 0.5)
    calls["model"] = np.where(rng.random(len(calls)) < share, feature.dearer, feature.usual)


def _set_lengths(calls: Calls, cell: Cell, rng: np.random.Generator, order: Order) -> None:
    feature, n = FEATURES[cell.feature], len(calls)
    if feature.lengths in ("mooncake", "azure"):
        _set_exchanges(calls, feature.lengths, rng, order)
    else:
        inputs, outputs = _curves(cell, order)
        week, window = _places(calls["time_ms"], cell, order)
        drawn = cell.prefix_tokens + _from_curves(inputs, week, window, rng.random(n))
        calls["input"] = np.minimum(drawn, INPUT_MAX)
        calls["output"] = np.minimum(_from_curves(outputs, week, window, rng.random(n)), OUTPUT_MAX)
    if feature.lengths != "mooncake":
        hit = rng.random(n) < cell.hit + slow(rng, calls["time_ms"], order, 0.02, 0.03)
        prefix = np.minimum(cell.prefix_tokens, calls["input"]) // CACHE_BLOCK_TOKENS * CACHE_BLOCK_TOKENS
        calls["cached"] = np.where(hit, prefix, 0)
    if MODELS[feature.usual] == "o4-mini":
        calls["reasoning"] = np.where(calls["model"] == feature.usual, 0.6 * calls["output"], 0)
    calls["latency_ms"] = 300 + 18 * calls["output"] * rng.lognormal(0, 0.3, n)


def _set_exchanges(calls: Calls, source: str, rng: np.random.Generator, order: Order) -> None:
    """Rows of the trace at random: one half of them in the learned weeks, the other half in the judged ones."""
    known = traces.exchanges(source)
    mine = pool(order.company.seed, range(len(known)))
    halves = np.array_split(stream(order.company.seed, source).permutation(mine), 2)
    judged = calls["time_ms"] >= JUDGED_MS
    drawn = rng.random(len(calls))
    at = np.where(
        judged & (not order.steady),
        halves[1][(drawn * len(halves[1])).astype(np.int64)],
        halves[0][(drawn * len(halves[0])).astype(np.int64)],
    )
    calls["input"], calls["output"] = known[at, 0], np.maximum(known[at, 1], 1)
    calls["cached"] = known[at, 2]


def _curves(cell: Cell, order: Order) -> tuple[Floats, Floats]:
    """float64[2, 28, 8] each: the client's own, or another's where the trace does not say."""
    rng = stream(order.company.seed, f"curves {cell.client.kind} {cell.client.name}")
    if FEATURES[cell.feature].lengths == "reasoning":
        pairs = traces.reasoning()
        pair = pairs[int(rng.choice(pool(order.company.seed, range(len(pairs)))))]
        return np.stack([pair[0]] * 2), np.stack([pair[1]] * 2)
    of_kind = [c for c in traces.clients() if c.kind == cell.client.kind]
    told = [c for c in pool(order.company.seed, of_kind) if c.inputs is not None]
    client: Client = cell.client if cell.client.inputs is not None else told[int(rng.integers(len(told)))]
    assert client.inputs is not None
    assert client.outputs is not None
    return client.inputs, client.outputs


def _places(
    time_ms: npt.NDArray[np.int64], cell: Cell, order: Order
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Week of the trace and its 6 h window for each call; the null run stays in one window."""
    judged = time_ms >= START_MS + LEARNED_DAYS * DAY_MS
    week = judged.astype(np.int64)
    at = ((time_ms - START_MS) % WEEK_MS // WINDOW_MS + cell.shift) % WEEK_WINDOWS
    if order.steady:
        return np.zeros_like(week), np.full_like(at, 14)
    return week, at // 36


def _from_curves(
    curves: Floats, week: npt.NDArray[np.int64], window: npt.NDArray[np.int64], u: Floats
) -> npt.NDArray[np.int64]:
    """Values at the shares u: geometric between neighbouring quantiles, since the longest are far out."""
    values = np.ones(len(u))
    key = week * traces.CURVE_WINDOWS + window
    for place in np.unique(key):
        mine = key == place
        points = curves.reshape(-1, len(SHARES))[place]
        values[mine] = np.expm1(np.interp(u[mine], SHARES, np.log1p(points)))
    return np.maximum(values.round().astype(np.int64), 1)


def retried(calls: Calls, cell: Cell, rng: np.random.Generator, order: Order) -> Calls:
    """The calls, and after some of them the second attempt."""
    share = cell.retry * np.exp(slow(rng, calls["time_ms"], order, 0.2, 0.4))
    failed = np.flatnonzero(rng.random(len(calls)) < share)
    again = calls[failed]
    calls["failed"][failed] = True
    again["attempt"] = 2
    again["time_ms"] += rng.integers(1_000, 15_000, len(again))
    return np.concatenate([calls, again])


def is_agent(cell: Cell) -> bool:
    """Whether the cell's calls are agent runs."""
    return cell.feature == AGENT
