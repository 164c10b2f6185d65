"""Records: the largest score that a scope has shown on each of its last days, which its next alarm has to beat.

A threshold in standard deviations alone is wrong for every scope whose calls are not what the model says. What a scope
shows on ordinary days is known: an alarm needs a score above the largest of two weeks (extreme values by blocks of a day;
Coles, An Introduction to Statistical Modeling of Extreme Values, 2001, ch. 3). Days on which it fired teach nothing, up to
`fired_days_max` of them: an incident must not raise the bar for the next one, and a scope that fires every day is noisy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tokenfuse.detect.arrays import BoolArray, FloatArray

DAYS: Final = 14
WEEK: Final = 7
NEW_DAYS: Final = 3
"""A Friday, a day of the weekend and a Monday."""

UNKNOWN: Final = 1e9
"""A bar that nothing beats."""

Floats = npt.NDArray[np.float32]


class Records:
    """Daily maxima of R scores of n scopes. All state is in arrays, so it is dumped and loaded by columns.

    Attributes:
        fired_days_max: this many of the days on which a scope fired, those of the largest scores, are no record.
        day: the day of `today`; -1: none yet.
        known_days: int16[n], days since the scope was first scored, at most DAYS.
        born: int64[n], whose records these are: a number may pass to another scope.
    """

    def __init__(self, rows: int, fired_days_max: int) -> None:
        """No scope has shown anything."""
        self.day = -1
        self.rows = rows
        self.fired_days_max = fired_days_max
        self.today: Floats = np.zeros((rows, 0), np.float32)
        self.fired: BoolArray = np.zeros((rows, 0), np.bool_)
        self.past: Floats = np.zeros((DAYS, rows, 0), np.float32)
        self.past_fired: BoolArray = np.zeros((DAYS, rows, 0), np.bool_)
        self.known_days = np.zeros(0, np.int16)
        self.born = np.zeros(0, np.int64)
        self._bars: FloatArray | None = None

    def meet(self, born: npt.NDArray[np.int64]) -> None:
        """The scopes as they are now: new ones have shown nothing, and those whose number passed to another neither."""
        more = len(born) - len(self.born)
        if more > 0:
            for name in _BY_SCOPE:
                array = getattr(self, name)
                setattr(self, name, np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, more)]))
        changed = np.flatnonzero(self.born[: len(born)] != born)
        if len(changed):
            for name in _BY_SCOPE:
                getattr(self, name)[..., changed] = 0
            self.born[changed] = born[changed]
            self._bars = None

    def move(self, day: int) -> None:
        """Let the days up to, and not including, `day` become the past."""
        if day <= self.day:
            return
        if self.day >= 0:
            self._close(min(day - self.day, DAYS))
        self.day = day

    def saw(self, rows: slice, scores: FloatArray) -> None:
        """Scores of this day: float64[r, n]."""
        today = self.today[rows, : scores.shape[1]]
        np.maximum(today, scores, out=today, casting="same_kind")

    def fires(self, row: int, scopes: npt.NDArray[np.int64]) -> None:
        """These scopes fire on this day: it will teach nothing."""
        self.fired[row, scopes] = True

    def bars(self) -> FloatArray:
        """What an alarm has to beat: float64[R, n]; 0 where nothing is known.

        Fewer days have smaller records: until two weeks are known the bar is higher by the share of them that is not.
        A scope that comes when others are known for a week can wait: its first days are not judged, and until it is known
        for a week the bar is higher still. In an installation's own first week nobody knows better.
        """
        if self._bars is None:
            unknown = 1 - self.known_days / DAYS
            young = np.zeros_like(unknown)
            if self.known_days.max(initial=0) >= WEEK:
                young = np.maximum(1 - self.known_days / WEEK, 0)
            is_new = young > 1 - NEW_DAYS / WEEK
            self._bars = np.where(is_new, UNKNOWN, self._largest() * (1 + unknown + young))
        return self._bars

    def _close(self, days: int) -> None:
        """Today becomes the newest of the past; days in between showed nothing."""
        for past, today in ((self.past, self.today), (self.past_fired, self.fired)):
            past[:-days] = past[days:]
            past[-days:] = 0
            past[-days] = today
            today[:] = 0
        seen = self.past[-days].any(axis=0) | (self.known_days > 0)
        self.known_days[seen] = np.minimum(self.known_days[seen] + days, DAYS)
        self._bars = None

    def _largest(self) -> FloatArray:
        """Per row and scope the largest of the past days, the largest fired ones left out: float64[R, n]."""
        fired = np.where(self.past_fired, self.past, 0)
        if not fired.any():
            return np.asarray(self.past.max(axis=0), np.float64)
        allowed = np.sort(fired, axis=0)[-self.fired_days_max - 1]
        kept = np.where(self.past_fired & (self.past > allowed), 0, self.past)
        return np.asarray(kept.max(axis=0), np.float64)

    def dump(self, scopes: slice) -> dict[str, Any]:
        """Plain data of some scopes."""
        return {"day": self.day, **{name: getattr(self, name)[..., scopes] for name in _BY_SCOPE}}

    def load(self, parts: Sequence[dict[str, Any]]) -> None:
        """Inverse of `dump`, all scopes in their order."""
        self.day = parts[0]["day"]
        for name in _BY_SCOPE:
            setattr(self, name, np.concatenate([part[name] for part in parts], axis=-1))
        self._bars = None


_BY_SCOPE: Final = ("today", "fired", "past", "past_fired", "known_days", "born")
