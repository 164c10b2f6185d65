"""The recipe's statistic: how surprising the last minutes to hours of every cell are, for one signal and one day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from benchmarks.detection.cellpanes import BINS, CellPanes
from benchmarks.detection.traces import Floats

DAY: Final = 288
HOUR: Final = 12
LEAD: Final = DAY + 3 * HOUR
"""Panes before a day that its longest window and the three hours before it reach back."""
REFERENCE_DAYS: Final = 14
WINDOWS: Final = (1, 2, 3, 6, 12, 24, 36, 72, 144, 288)
PRIOR_CALLS: Final = 300.0
FEATURE_CALLS: Final = 50.0
AGENT_CALLS: Final = 40.0
DAYS_DROPPED: Final = 2
PEER_DAYS: Final = 3.0
SHARE_MIN: Final = 0.003
S2_MIN: Final = 0.02
SMOOTH: Final = 0.004


@dataclass(frozen=True)
class Reference:
    """What 14 days say, one signal.

    Attributes:
        mean: float64[cells, 24], of the score by hour. variance, shift, step, tau2: float64[cells].
        scores: sums of the score per cell and pane, float64[cells, panes], over the whole time.
    """

    mean: Floats
    variance: Floats
    shift: Floats
    step: Floats
    tau2: Floats
    scores: Floats


@dataclass(frozen=True)
class Evidence:
    """Terms of the statistic that add up over the cells of a scope, float64[windows, cells, DAY] each."""

    pull: Floats  # a R
    spread: Floats  # a^2 var
    expected: Floats  # a N D
    skew: Floats  # a^3 var b sqrt(g)
    calls: Floats  # N


def rates(panes: CellPanes, days: slice) -> Floats:
    """Calls per pane by hour of the day, the same hour +-2, float64[cells, 24]."""
    by_hour = _by_hour(panes.calls, days)
    count = (days.stop - days.start) * HOUR * 5
    return _around(by_hour) / count


def _by_hour(values: Floats, days: slice) -> Floats:
    """Sums by hour of the day, float64[cells, 24]."""
    part = values[:, days.start * DAY : days.stop * DAY]
    result: Floats = part.reshape(len(values), -1, 24, HOUR).sum((1, 3))
    return result


def _around(by_hour: Floats) -> Floats:
    result: Floats = sum(np.roll(by_hour, shift, 1) for shift in range(-2, 3))
    return result


def learn(panes: CellPanes, signal: str, days: slice, feature: Floats, agents: Floats) -> Reference:
    """Reference of one signal; feature is the number of each cell's feature, agents the factor g."""
    if signal in panes.lengths:
        scores, variance, shift, step = _lengths(panes, signal, days)
        mean = _shrunk(scores, panes.calls, days, None)
    else:
        sign = -1.0 if signal == "cache" else 1.0
        scores = sign * panes.flags[signal]
        share = np.clip(_shrunk(panes.flags[signal], panes.calls, days, feature), SHARE_MIN, 1 - SHARE_MIN)
        mean, overall = sign * share, share.mean(1)
        variance = overall * (1 - overall)
        shift, step = _shift_of_flag(signal, overall)
    rate = rates(panes, days)
    tau2 = _tau2(scores, panes.calls, mean, variance, shift, days, rate, agents)
    return Reference(mean, variance, shift, step, tau2, scores)


def _shift_of_flag(signal: str, share: Floats) -> tuple[Floats, Floats]:
    if signal == "retry":
        return np.full(len(share), 0.2), 1 - share
    if signal == "tier":
        return 0.2 * (1 - share), 1 - share
    if signal == "cache":
        return 0.7 * share + 0.02, np.maximum(share, 0.02)
    return np.full(len(share), 0.5), 1 - share


def _shrunk(values: Floats, calls: Floats, days: slice, feature: Floats | None) -> Floats:
    """Mean of the score by hour +-2, drawn to the cell's own and that to its feature's, float64[cells, 24]."""
    sums, counts = _by_hour(values, days), _by_hour(calls, days)
    own, n = sums.sum(1), counts.sum(1)
    if feature is None:
        pool = own / np.maximum(n, 1)
    else:
        of = np.array(
            [own[feature == f].sum() / max(n[feature == f].sum(), 1) for f in range(int(feature.max()) + 1)]
        )
        pool = (own + FEATURE_CALLS * of[feature.astype(int)]) / (n + FEATURE_CALLS)
    result: Floats = (_around(sums) + PRIOR_CALLS * pool[:, None]) / (_around(counts) + PRIOR_CALLS)
    return result


def _lengths(panes: CellPanes, signal: str, days: slice) -> tuple[Floats, Floats, Floats, Floats]:
    """Scores, variance, shift and largest step of a log-likelihood ratio between usual and longer lengths."""
    histogram = panes.lengths[signal]
    own = histogram[:, days.start * DAY : days.stop * DAY].sum(1, dtype=np.float64)
    everyone = own.sum(0) / max(own.sum(), 1)
    p = own + 0.25 * (_shifted(own, 1) + _shifted(own, -1)) + 5 * everyone
    p /= p.sum(1)[:, None]
    q = _longer(p, signal)
    table = np.clip(np.log((q + SMOOTH) / (p + SMOOTH)), -2, 2)
    mean = (p * table).sum(1)
    variance = np.maximum((p * table**2).sum(1) - mean**2, S2_MIN)
    shift = np.maximum((q * table).sum(1) - mean, S2_MIN)
    # The reference's days and the day after them are all that anybody asks for.
    part = slice(days.start * DAY, (days.stop + 1) * DAY)
    scores = np.zeros(histogram.shape[:2])
    weights = table.astype(np.float32)[:, :, None]
    scores[:, part] = np.matmul(histogram[:, part].astype(np.float32), weights)[:, :, 0]
    return scores, variance, shift, 2 - mean


def _shifted(p: Floats, bins: int) -> Floats:
    """Moved to longer (positive) or shorter bins; what would leave stays in the last one."""
    moved = np.zeros_like(p)
    if bins >= 0:
        moved[:, bins:] = p[:, : BINS - bins]
        moved[:, -1] += p[:, BINS - bins :].sum(1)
    else:
        moved[:, :bins] = p[:, -bins:]
        moved[:, 0] += p[:, :-bins].sum(1)
    return moved


def _longer(p: Floats, signal: str) -> Floats:
    """Output: times 1.3 to 2. Prompt: .3, .6 and 1 medians more in every call."""
    if signal == "output":
        return (_shifted(p, 1) + _shifted(p, 2) + _shifted(p, 3)) / 3
    middle = 16 * 1.275 ** (np.arange(BINS) - 0.5)
    median = middle[(p.cumsum(1) >= 0.5).argmax(1)]
    q = np.zeros_like(p)
    for more in (0.3, 0.6, 1.0):
        target = np.log((middle[None] + more * median[:, None]) / 16) / np.log(1.275) + 1
        place = np.clip(target.astype(int), 0, BINS - 1)
        np.add.at(q, (np.arange(len(p))[:, None], place), p / 3)
    return q


def _tau2(
    scores: Floats,
    calls: Floats,
    mean: Floats,
    variance: Floats,
    shift: Floats,
    days: slice,
    rate: Floats,
    agents: Floats,
) -> Floats:
    """Day-to-day variance of the mean score, float64[cells]: without the worst days, drawn to the peers'."""
    part = slice(days.start * DAY, days.stop * DAY)
    count = days.stop - days.start
    n = calls[:, part].reshape(len(calls), count, DAY).sum(2)
    usual = np.tile(np.repeat(mean, HOUR, 1), count)
    r = (scores[:, part] - calls[:, part] * usual).reshape(len(calls), count, DAY).sum(2)
    expected = HOUR * rate.sum(1)[:, None]
    v = agents[:, None] * variance[:, None] * n * np.maximum(1, n / (2 * expected + 3))
    beyond = np.maximum(r**2 - v, 0)
    kept = np.argsort(beyond, 1)[:, : max(count - DAYS_DROPPED, 1)]
    own = np.take_along_axis(beyond, kept, 1).sum(1) / np.maximum(np.take_along_axis(n**2, kept, 1).sum(1), 1)
    peers = float(np.median((own / shift**2)[n.sum(1) > 0])) if (n.sum(1) > 0).any() else 0.0
    result: Floats = (count * own + PEER_DAYS * peers * shift**2) / (count + PEER_DAYS)
    return result


def weigh(panes: CellPanes, known: Reference, rate: Floats, agents: Floats, day: int) -> Evidence:
    """Evidence of one day; every window ends with its pane."""
    calls = with_lead(panes.calls, day)
    hours = (np.arange(-LEAD, DAY) // HOUR) % 24
    r = with_lead(known.scores, day) - calls * known.mean[:, hours]
    usual = rate[:, hours]
    parts = [_window(calls, r, usual, known, agents, width) for width in WINDOWS]
    return Evidence(*(np.array([part[i] for part in parts]) for i in range(5)))


def _window(
    calls: Floats, r: Floats, usual: Floats, known: Reference, agents: Floats, width: int
) -> tuple[Floats, ...]:
    n, residual = rolled(calls, width), rolled(r, width)
    expected = np.minimum(rolled(usual, width), before(calls, width))
    g, s2, shift = agents[:, None], known.variance[:, None], known.shift[:, None]
    v = g * s2 * n * np.maximum(1, n / (2 * expected + 3))
    var = np.maximum(v + n**2 * known.tau2[:, None], 1e-12)
    a = n * shift / var
    return a * residual, a**2 * var, a * n * shift, a**3 * var * known.step[:, None] * np.sqrt(g), n


def with_lead(values: Floats, day: int) -> Floats:
    """float64[cells, LEAD + DAY]; zeros before the beginning."""
    start = day * DAY - LEAD
    part = values[:, max(start, 0) : (day + 1) * DAY]
    return np.pad(part, ((0, 0), (LEAD + DAY - part.shape[1], 0)))


def rolled(values: Floats, width: int) -> Floats:
    """Sums over windows that end with each pane of the day, float64[cells, DAY]."""
    total = np.pad(values.cumsum(1), ((0, 0), (1, 0)))
    result: Floats = total[:, LEAD + 1 :] - total[:, LEAD + 1 - width : LEAD + DAY + 1 - width]
    return result


def before(calls: Floats, width: int) -> Floats:
    """The rate of the three hours before each window, as calls in its length, float64[cells, DAY]."""
    total = np.pad(calls.cumsum(1), ((0, 0), (1, 0)))
    end = LEAD + 1 - width
    result: Floats = total[:, end : end + DAY] - total[:, end - 3 * HOUR : end - 3 * HOUR + DAY]
    return result * width / (3 * HOUR)


def z_of(members: Floats, evidence: Evidence) -> tuple[Floats, Floats, Floats]:
    """Bennett's z, effect and calls of scopes, float64[windows, scopes, panes]; members is float64[scopes, cells]."""
    several = (members.sum(1) > 1)[None, :, None]
    bound = 3 * np.sqrt(evidence.spread)
    pull = np.where(several, members @ np.clip(evidence.pull, -bound, bound), members @ evidence.pull)
    spread, expected = members @ evidence.spread, members @ evidence.expected
    mean_step = (members @ evidence.skew) / np.maximum(spread, 1e-12)
    u = np.maximum(mean_step * pull / np.maximum(spread, 1e-12), 0)
    bennett = (1 + u) * np.log1p(u) - u
    z = np.sqrt(2 * spread * bennett) / np.maximum(mean_step, 1e-9)
    return np.where(pull > 0, z, 0.0), pull / np.maximum(expected, 1e-12), members @ evidence.calls
