"""Absence: calls that are missing, counted in the calls that are usual at these hours of these days.

A silence of an hour is nothing at night and a broken key at noon. So a silence is not measured by the clock but by the calls
that it costs (time rescaled by what is usual: Brown et al., Neural Computation 14, 2002), and compared with the costliest
silence of the scope's own last two weeks, measured in the same way.

What is usual in an hour is the least of three, so that it errs towards silence:

- the same hour of the other week, so that weekends and free afternoons are no absence;
- the median of this hour over all days, so that a batch that ran once is not expected again;
- the hours before and after it, both ways: a day that begins or ends an hour off, and the end of summer time, are none.

False alarms: were calls independent, a silence that costs m calls would follow a call with a chance of exp(-m): 6e-6 at 12. Calls
are not, which is what the record is for: it holds how late this scope has begun its days, and how ragged its hours are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tokenfuse.contracts.rulekinds.absence import AbsenceRule
from tokenfuse.detect.arrays import BoolArray, FloatArray, IntArray

HOUR_S: Final = 3600
HOURS: Final = 336
"""Two weeks, the open hour included: as much as the windows keep."""

WEEK: Final = HOURS // 2
DAY: Final = 24
GONE_S: Final = WEEK * HOUR_S
"""After a week without a call a scope is gone: silence is what is usual for it now."""

UNKNOWN: Final = 2**62


@dataclass(frozen=True, slots=True)
class Silences:
    """n scopes over two weeks of hours, oldest first, the last one open.

    Attributes:
        calls, cost_nanousd: int64[HOURS, n].
        known: bool[HOURS, n], whole hours from the scope's first call to the silence of which the log tells.
        silent_s: int64[HOURS, n], seconds of the hour that are part of the silence.
    """

    calls: IntArray
    cost_nanousd: IntArray
    known: BoolArray
    silent_s: IntArray


@dataclass(frozen=True, slots=True)
class AbsenceScore:
    """Verdicts of one rule on n scopes.

    Attributes:
        fires: bool[n].
        missed: float64[n], calls that are usual in the time of the silence.
        threshold: float64[n], calls beyond which it fires.
        missed_nanousd: int64[n], what they usually cost.
    """

    fires: BoolArray
    missed: FloatArray
    threshold: FloatArray
    missed_nanousd: IntArray


def hours_before(watermark_s: int) -> list[int]:
    """Beginnings of the HOURS hours, oldest first, of which the last one contains the watermark."""
    open_s = watermark_s - watermark_s % HOUR_S
    return list(range(open_s - (HOURS - 1) * HOUR_S, open_s + 1, HOUR_S))


def known_and_silent(
    first_s: IntArray, silent_since_s: IntArray, watermark_s: int, gap_s: tuple[int, int]
) -> tuple[BoolArray, IntArray]:
    """Which hours teach, and how much of each is silence: as in `Silences`.

    Args:
        first_s: int64[n], the scope's first call. silent_since_s: int64[n], at most the watermark.
        watermark_s: until when time is known. gap_s: hours that it touches teach nothing; nobody watched.
    """
    starts = np.array(hours_before(watermark_s), np.int64)[:, None]
    ends = starts + HOUR_S
    watched = (ends <= gap_s[0]) | (starts >= gap_s[1])
    known = watched & (starts >= first_s) & (ends <= silent_since_s)
    silent = np.minimum(ends, watermark_s) - np.maximum(starts, silent_since_s)
    return known, np.maximum(silent, 0)


def absence(past: Silences, rule: AbsenceRule) -> AbsenceScore:
    """Compares what the silence costs each scope with what silences have cost it so far."""
    usual = usual_calls(past.calls, past.known)
    missed = (usual * past.silent_s).sum(axis=0) / HOUR_S
    record = costliest_silence(usual, past.calls, past.known)
    threshold = np.maximum(float(rule.calls_min), rule.record_factor * record)
    calls, cost = (np.where(past.known, a, 0).sum(axis=0) for a in (past.calls, past.cost_nanousd))
    hours, busy = past.known.sum(axis=0), (past.known & (past.calls > 0)).sum(axis=0)
    worth = cost * DAY >= rule.floor_nanousd_per_day * hours
    silence = past.silent_s.sum(axis=0)
    lasting = (silence >= rule.silence_min_seconds) & (silence < GONE_S)
    fires = lasting & (busy >= rule.baseline_hours_min) & worth & (missed >= threshold)
    return AbsenceScore(fires, missed, threshold, (missed * cost / np.maximum(calls, 1)).astype(np.int64))


def usual_calls(calls: IntArray, known: BoolArray) -> IntArray:
    """Calls that are usual in each hour of the two weeks: int64[HOURS, n], 0 where nothing says so.

    Args:
        calls, known: as in `Silences`. Hours of the silence are not known, so they are judged by the other week's.
    """
    seen = np.where(known, calls, UNKNOWN)
    other_week = np.roll(seen, WEEK, axis=0)
    usual = np.minimum(other_week, _median_by_hour_of_day(seen, known))
    # Before the scope's first week was over all days count as equal: its first free weekend is a silence, of which the record
    # then knows. What the silence itself hides of the other week is taken for usual.
    hidden = other_week == UNKNOWN
    hidden[WEEK:] &= ~known[WEEK:]
    usual[hidden | (usual == UNKNOWN)] = 0
    # What comes after the open hour is the oldest one's hour of the week: the two weeks close to a ring.
    around = np.minimum(np.roll(usual, 1, axis=0), np.roll(usual, -1, axis=0))
    return np.asarray(np.minimum(usual, around))


def costliest_silence(usual: IntArray, calls: IntArray, known: BoolArray) -> IntArray:
    """The most calls that a silence within the known hours can have cost each scope: int64[n].

    Hours say no more than how many calls are missing in each. A silence costs what is usual in the hours without any call, and
    at most what is missing in the hours in which it began and ended.
    """
    missing = np.where(known, np.maximum(usual - calls, 0), 0)
    empty = known & (calls <= 0)
    since, most = np.zeros(calls.shape[1], np.int64), np.zeros(calls.shape[1], np.int64)
    for hour in range(len(calls)):
        lasting = since + missing[hour]
        most = np.maximum(most, lasting)
        since = np.where(empty[hour], lasting, missing[hour])
    return most


def _median_by_hour_of_day(seen: IntArray, known: BoolArray) -> IntArray:
    """The lower median over the days on which the hour is known, int64[HOURS, n]; UNKNOWN where there is none."""
    days, scopes = HOURS // DAY, seen.shape[1]
    by_day = np.sort(seen.reshape(days, DAY, scopes), axis=0)
    count = known.reshape(days, DAY, scopes).sum(axis=0)
    median = np.take_along_axis(by_day, (np.maximum(count - 1, 0) // 2)[None], axis=0)
    return np.tile(median[0], (days, 1))
