"""What people use today, on the cost of each scope: simple rules and river's detectors, at their usual settings.

None of them knows why: their driver is `volume`, the most common reason. An alert ends an hour after it last fired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from benchmarks.detection.alerts import Raised
from benchmarks.detection.panes import JUDGED_PANE, PANES_PER_HOUR, Scopes, end_ms
from benchmarks.detection.traces import Floats
from river import anomaly, drift

WEEK_HOURS: Final = 168
FACTOR: Final = 3.0
DEVIATIONS: Final = 4.0
DAY_HOURS: Final = 24
TREES_SEED: Final = 1

Fires = np.ndarray[tuple[int, int], np.dtype[np.bool_]]
"""bool[scopes, hours or panes]."""


def hourly_spike(cost: Floats) -> Fires:
    """The running hour already costs over 3x the mean of the 168 hours before it; bool[scopes, panes]."""
    hours = _hours(cost)
    mean = _trailing(hours, WEEK_HOURS)
    so_far = cost.reshape(*hours.shape, PANES_PER_HOUR).cumsum(2)
    fires: Fires = (so_far > FACTOR * mean[:, :, None]) & (mean[:, :, None] > 0)
    return fires.reshape(cost.shape)


def gaussian(cost: Floats) -> Fires:
    """An hour more than four standard deviations above the 168 hours before it; bool[scopes, hours]."""
    hours = _hours(cost)
    mean, square = _trailing(hours, WEEK_HOURS), _trailing(hours**2, WEEK_HOURS)
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    fires: Fires = (hours > mean + DEVIATIONS * deviation) & (deviation > 0)
    return fires


def adwin(cost: Floats) -> Fires:
    """river's ADWIN with its defaults on the hourly cost; rises only. bool[scopes, hours]."""
    return np.array([list(_adwin(series)) for series in _hours(cost)])


def _adwin(series: Floats) -> Iterator[bool]:
    detector = drift.ADWIN()
    for value in series.tolist():
        before = detector.estimation
        detector.update(value)
        yield bool(detector.drift_detected and detector.estimation > before)


def page_hinkley(cost: Floats) -> Fires:
    """river's PageHinkley with its defaults, rises only, on the cost in deviations of the learned hours; bool[scopes, hours]."""
    hours = _hours(cost)
    learned = hours[:, : JUDGED_PANE // PANES_PER_HOUR]
    scaled = (hours - learned.mean(1)[:, None]) / np.maximum(learned.std(1), 1e-9)[:, None]
    return np.array([list(_page_hinkley(series)) for series in scaled])


def _page_hinkley(series: Floats) -> Iterator[bool]:
    detector = drift.PageHinkley(mode="up")
    for value in series.tolist():
        detector.update(value)
        yield bool(detector.drift_detected)


def half_space_trees(cost: Floats) -> Fires:
    """river's HalfSpaceTrees with its defaults on the hour's cost and its change to the same hour of the day before.

    It fires above the highest score of the learned second week. bool[scopes, hours].
    """
    return np.array([_trees(series) for series in _hours(cost)])


def _trees(series: Floats) -> list[bool]:
    trees = anomaly.HalfSpaceTrees(seed=TREES_SEED)
    learned = JUDGED_PANE // PANES_PER_HOUR
    scale = max(float(np.quantile(series[:learned], 0.99)), 1e-9)
    scores = []
    for hour, value in enumerate(series.tolist()):
        before = series[hour - DAY_HOURS] if hour >= DAY_HOURS else value
        point = {
            "cost": min(value / scale, 1.0),
            "change": min(max(0.5 + (value - before) / scale / 2, 0), 1),
        }
        scores.append(trees.score_one(point))
        trees.learn_one(point)
    bound = max(scores[learned - WEEK_HOURS : learned])
    return [score > bound for score in scores]


METHODS: Final[dict[str, Callable[[Floats], Fires]]] = {
    "3x-7-day": hourly_spike,
    "gaussian": gaussian,
    "adwin": adwin,
    "page-hinkley": page_hinkley,
    "half-space-trees": half_space_trees,
}


def alerts(method: str, cost: Floats, scopes: Scopes) -> list[Raised]:
    """Alerts of one method over all scopes, by time; cost is float64[scopes, panes]."""
    fires = METHODS[method](cost)
    panes_each = cost.shape[1] // fires.shape[1]
    found = [
        raised
        for scope, axes in enumerate(scopes.axes)
        for raised in _raised(method, axes, fires[scope], panes_each)
    ]
    return sorted(found, key=lambda each: (each.at_ms, each.identity))


def _raised(
    method: str, axes: dict[str, str], fires: np.ndarray[tuple[int], np.dtype[np.bool_]], panes_each: int
) -> Iterator[Raised]:
    """Firings less than an hour apart are one alert."""
    at = (np.flatnonzero(fires) + 1) * panes_each - 1
    if not len(at):
        return
    begins = np.concatenate([[True], np.diff(at) > PANES_PER_HOUR + panes_each - 1])
    starts = np.flatnonzero(begins)
    for first, last in zip(starts, [*(starts[1:] - 1), len(at) - 1], strict=True):
        yield Raised(
            method, axes, "volume", "page", end_ms(int(at[first])), end_ms(int(at[last]) + PANES_PER_HOUR)
        )


def _hours(cost: Floats) -> Floats:
    """float64[scopes, hours]."""
    summed: Floats = cost.reshape(len(cost), -1, PANES_PER_HOUR).sum(2)
    return summed


def _trailing(values: Floats, length: int) -> Floats:
    """Mean of up to `length` values before each one; 0 before a day has passed."""
    total = np.concatenate([np.zeros((len(values), 1)), values.cumsum(1)], 1)
    at = np.arange(values.shape[1])
    first = np.maximum(at - length, 0)
    mean: Floats = (total[:, at] - total[:, first]) / np.maximum(at - first, 1)
    mean[:, :DAY_HOURS] = 0
    return mean
