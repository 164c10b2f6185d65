"""The product's drift detector on one series: what scores NAB.

Every value is one call of one cell whose score is the value, in units of the first day's spread, as if its length were that;
`detect/` does the rest as the agents do: `learn_units` on the hours of the two weeks before (every hour in the first three
days, then every six), the same hour of the day in `usual`, `score_units` in the shipped windows from five minutes to a day.
Both directions are judged, since NAB's anomalies go either way: the second cell is the first one mirrored. The clip and the
records of `decide` stay out: the clip is for scopes of several cells, and two weeks of records are all that NAB has.

One setting for every series; nothing is known of its unit, its interval or its file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from tokenfuse.contracts.measures import INDEX, LOG_SCALE, MEASURES
from tokenfuse.contracts.ruleset import DriftSignal
from tokenfuse.decide.scoreboard import DRIFT, FIRED_DAYS_MAX
from tokenfuse.detect.baseline import UnitBaseline, learn_units
from tokenfuse.detect.drift import plain_z
from tokenfuse.detect.records import Records
from tokenfuse.detect.signals import SHIFT_LENGTH
from tokenfuse.detect.units import (
    DAY_SECONDS,
    HOUR_SECONDS,
    LONG_SECONDS,
    RESIDUAL,
    SPREAD,
    Usual,
    score_units,
    usual,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SIGNALS: Final[tuple[DriftSignal, ...]] = ("prompt",)
WINDOWS_S: Final = (300, 900, 1800, 3600, 7200, 3 * 3600, 6 * 3600, 12 * 3600, 86_400)
"""Those of the shipped drift rules."""
HISTORY_HOURS: Final = 336
YOUNG_HOURS, REFRESH_HOURS = 72, 6
HOURS_MIN: Final = 24
Z_MIN: Final = 5.5
RECORD_FACTOR: Final = 1.3
QUIET_S: Final = 48 * 3600
"""An alert is raised again within two days only by a larger score: NAB counts every row, agents count incidents."""
BEFORE_HOURS: Final = 3
USUAL_COLUMNS: Final = (
    "mean",
    "variance",
    "shift",
    "step",
    "tau2",
    "calls_per_hour",
    "design_effect",
    "known",
)
NORMAL_MAD: Final = 0.6745
"""Median absolute deviation of a normal variable of variance 1."""


def scores(values: Floats, times_s: Floats) -> Floats:
    """Standard deviations at every value at which an alert would be raised, float64[n]; 0 elsewhere."""
    return raised(largest_z(standard(values, times_s), times_s), times_s)


def scores_with_records(values: Floats, times_s: Floats) -> Floats:
    """The same over what `decide` has a score beat: from 1 on the shipped rules fire."""
    z = largest_z(standard(values, times_s), times_s)
    return raised(z / bars(z, times_s), times_s)


def standard(values: Floats, times_s: Floats) -> Floats:
    """Values in robust standard deviations of the first day, of which one is as much as a shift worth finding."""
    first = values[times_s < times_s[0] + DAY_SECONDS]
    middle = float(np.median(first))
    spread = float(np.median(np.abs(first - middle))) / NORMAL_MAD or float(first.std()) or 1.0
    found: Floats = (values - middle) / spread * SHIFT_LENGTH
    return found


def largest_z(score: Floats, times_s: Floats) -> Floats:
    """The largest score of both directions over all windows, float64[n]; 0 while nothing is known."""
    hour = (times_s // HOUR_SECONDS).astype(np.int64)
    pasts = [(at, past) for first, end, past in _learned(score, hour) for at in range(first, end)]
    rows = np.flatnonzero(np.isin(hour, [at for at, _ in pasts]))
    z = np.zeros(len(score))
    for window in WINDOWS_S:
        normal = _normal(pasts, hour[rows], window)
        z[rows] = np.maximum(z[rows], _window_z(_prefix(score), times_s, rows, normal, window))
    return z


def _learned(score: Floats, hour: Ints) -> Iterator[tuple[int, int, UnitBaseline]]:
    """Hours [first, end) with what was learned before them; the last whole hour is still being judged."""
    panes = _hours(score, hour)
    began, ends = int(hour[0]), int(hour[-1]) + 1
    first = began + HOURS_MIN
    while first < ends:
        end = first + 1 if first - began < YOUNG_HOURS else first - first % REFRESH_HOURS + REFRESH_HOURS
        start = max(first - HISTORY_HOURS - 1, began)
        yield (
            first,
            min(end, ends),
            learn_units(SIGNALS, panes[:, start - began : first - 1 - began], start % 24),
        )
        first = end


def _normal(pasts: list[tuple[int, UnitBaseline]], hours: Ints, window: int) -> Usual:
    """What is normal for each value in both directions: 2 n units, by direction and then by value."""
    by_hour = [usual(SIGNALS, past, at % 24, window, HOURS_MIN) for at, past in pasts]
    place = np.searchsorted([at for at, _ in pasts], hours)
    columns = {
        name: np.stack([getattr(each, name) for each in by_hour])[place] for name in USUAL_COLUMNS
    }  # float64[n, ..., 2]
    return Usual(
        SIGNALS,
        **{
            name: np.concatenate(list(np.moveaxis(array, (-1, 0), (0, -1))), axis=-1)
            for name, array in columns.items()
        },
    )


def _window_z(sums: Ints, times_s: Floats, rows: Ints, normal: Usual, window: int) -> Floats:
    begins = np.searchsorted(times_s, times_s[rows] - window, side="right")
    earlier = np.searchsorted(times_s, times_s[rows] - window - BEFORE_HOURS * HOUR_SECONDS, side="right")
    now = sums[:, rows + 1] - sums[:, begins]
    calls = (begins - earlier) / BEFORE_HOURS if window < LONG_SECONDS else np.full(len(rows), np.inf)
    units = score_units(np.concatenate([now[..., 0], now[..., 1]], axis=1), normal, np.tile(calls, 2), window)
    z = np.zeros(2 * len(rows))
    z[units.unit] = plain_z(units.columns[RESIDUAL, 0], units.columns[SPREAD, 0])
    best: Floats = z.reshape(2, -1).max(axis=0)
    return best


def bars(z: Floats, times_s: Floats) -> Floats:
    """What each score has to beat: Z_MIN, or RECORD_FACTOR times the record of the days before; as `decide` keeps records."""
    day = (times_s // DAY_SECONDS).astype(np.int64)
    records, found = Records(1, FIRED_DAYS_MAX[DRIFT]), np.empty(len(z))
    records.meet(np.ones(1, np.int64))
    for today in np.unique(day).tolist():
        rows = day == today
        records.move(today)
        found[rows] = max(Z_MIN, RECORD_FACTOR * float(records.bars()[0, 0]))
        records.saw(slice(0, 1), np.array([[z[rows].max()]]))
        if (z[rows] > found[rows]).any():
            records.fires(0, np.zeros(1, np.int64))
    return found


def raised(score: Floats, times_s: Floats) -> Floats:
    """Scores that would raise an alert anew: an alert stands for QUIET_S, and only a larger score opens another."""
    begins = np.searchsorted(times_s, times_s - QUIET_S)
    before = np.array([score[a:i].max(initial=0.0) for i, a in enumerate(begins.tolist())])
    found: Floats = np.where(score > before, score, 0.0)
    return found


def _prefix(score: Floats) -> Ints:
    """Cumulated measures of the two cells, int64[M, n + 1, 2]."""
    n = len(score)
    out = np.zeros((len(MEASURES), n + 1, 2), np.int64)
    out[:, 1:] = _measures(score).cumsum(axis=1)
    return out


def _measures(score: Floats) -> Ints:
    """One call each: int64[M, n, 2]."""
    log = np.round(score * LOG_SCALE).astype(np.int64)
    out = np.zeros((len(MEASURES), len(score), 2), np.int64)
    out[INDEX["calls"]] = 1
    out[INDEX["prompt_log"]] = np.stack([log, -log], axis=1)
    out[INDEX["prompt_log_sq"]] = (log * log)[:, None]
    return out


def _hours(score: Floats, hour: Ints) -> Ints:
    """Hour panes of the two cells, int64[M, h, 2]."""
    out = np.zeros((len(MEASURES), int(hour[-1] - hour[0]) + 1, 2), np.int64)
    np.add.at(out, (slice(None), hour - hour[0]), _measures(score))
    return out
