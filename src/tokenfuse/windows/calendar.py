"""Calendar days and months in a tenant's time zone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

PERIODS: Final = ("day", "month")
KEPT_SECONDS: Final = {"day": 2 * 86_400, "month": 63 * 86_400}
"""A period's sums are kept this long after it began: the one before the open one is still there."""

QUARTER_S: Final = 900  # every zone's offset is a multiple of a quarter of an hour


@lru_cache(maxsize=65_536)
def period_start_s(period: str, zone: str, quarter: int) -> int:
    """Start of the local day or month that contains the quarter of an hour, in seconds since the epoch."""
    local = datetime.fromtimestamp(quarter * QUARTER_S, ZoneInfo(zone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return int((midnight.replace(day=1) if period == "month" else midnight).timestamp())


@lru_cache(maxsize=4096)
def period_end_s(period: str, zone: str, start_s: int) -> int:
    """Start of the period after the one that starts at start_s."""
    local = datetime.fromtimestamp(start_s, ZoneInfo(zone))
    after = local + timedelta(days=32) if period == "month" else local + timedelta(days=1, hours=3)
    return period_start_s(period, zone, int(after.timestamp()) // QUARTER_S)


def period_starts(period: str, zone: str, times_s: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """`period_start_s` of many times, int64[n]."""
    quarters, inverse = np.unique(times_s // QUARTER_S, return_inverse=True)
    starts = np.array([period_start_s(period, zone, int(q)) for q in quarters], np.int64)
    return starts[inverse]


class Zones:
    """Which time zone each scope of a table has: the default one, unless its value is named.

    Attributes:
        named: whether any value has a zone of its own.
    """

    def __init__(self, default: str = "UTC", by_value: dict[str, str] | None = None) -> None:
        """Name the zones; `note` says which ids the values have."""
        self._by_value = by_value or {}
        self.named = bool(self._by_value)
        self._names = [default, *sorted({*self._by_value.values()} - {default})]
        self._index = np.zeros(16, np.int16)

    def note(self, values: Iterable[str | None], ids: npt.NDArray[np.int32]) -> None:
        """Scopes of these values have these ids from now on."""
        default = self._names[0]
        for value, i in zip(values, ids.tolist(), strict=True):
            if i >= len(self._index):
                self._index = np.concatenate([self._index, np.zeros(i + 1, np.int16)])
            self._index[i] = self._names.index(self._by_value.get(value or "", default))

    def of(self, scope_id: int) -> str:
        """Zone of one scope."""
        return self._names[self._index[scope_id]] if scope_id < len(self._index) else self._names[0]

    def split(self, ids: npt.NDArray[np.int32]) -> Iterator[tuple[str, npt.NDArray[np.intp]]]:
        """Positions of ids by zone."""
        if len(self._names) == 1:
            yield self._names[0], np.arange(len(ids))
            return
        index = np.where(ids < len(self._index), self._index[np.minimum(ids, len(self._index) - 1)], 0)
        for zone in np.unique(index).tolist():
            yield self._names[zone], np.flatnonzero(index == zone)
