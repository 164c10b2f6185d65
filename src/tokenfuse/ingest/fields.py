"""One field of many events as an array: what `normalise` does with each of them, and what is declined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from tokenfuse.contracts.event import COST_USD_MAX
from tokenfuse.ingest.columns import Ints
from tokenfuse.ingest.fault import RefusedError
from tokenfuse.ingest.normalise import sketches
from tokenfuse.ingest.times import SECONDS_BELOW, time_ms
from tokenfuse.pricing.book import stated_nanousd

ASK_BOOK, DECLINED = -1, -2
"""In place of a cost: the producer said none; it said one that is not accepted."""

NO_TIME: Final = -(2**62)


def times(times: Sequence[Any]) -> Ints:
    """Milliseconds since the epoch; NO_TIME where it is none."""
    if set(map(type, times)) == {int}:
        try:
            numbers = np.array(times, np.int64)
        except OverflowError:
            pass
        else:
            seconds = (numbers > -SECONDS_BELOW) & (numbers < SECONDS_BELOW)
            return np.where(seconds, numbers * np.where(seconds, 1000, 1), numbers)
    return np.array([_time(time) for time in times], np.int64)


def _time(time: Any) -> int:
    try:
        return max(min(time_ms(time), -NO_TIME), NO_TIME)
    except RefusedError:
        return NO_TIME


def stated(costs: Sequence[Any], odd: Sequence[int]) -> Ints:
    """What producers said; DECLINED for those that are odd in another way."""
    count = len(costs)
    found = np.full(count, ASK_BOOK)
    if costs.count(None) < count:
        found[:] = [ASK_BOOK if usd is None else _nanousd(usd) for usd in costs]
    found[odd] = DECLINED
    return found


def _nanousd(usd: Any) -> int:
    return stated_nanousd(usd) if usd.is_finite() and 0 <= usd <= COST_USD_MAX else DECLINED


def sketched(signatures: Sequence[str | None]) -> Ints:
    """Sketch of each tool signature; 0 without one."""
    if signatures.count(None) == len(signatures):
        return np.zeros(len(signatures), np.int64)
    return np.array([0 if text is None else sketches[text] for text in signatures], np.int64)


def numbered(numbers: dict[Any, int], values: Sequence[Any]) -> Ints:
    """The number of each value."""
    return np.fromiter(map(numbers.__getitem__, values), np.int64, len(values))


def floats(values: Sequence[float | None], missing: int) -> Any:
    """As floats, which are exact here: all are below 2^53."""
    found = np.array(values, np.float64)
    found[np.isnan(found)] = missing
    return found


def label(labels: Iterable[dict[str, str] | None], name: str) -> list[str | None]:
    """The value of one label of each event."""
    return [label.get(name) if label else None for label in labels]
