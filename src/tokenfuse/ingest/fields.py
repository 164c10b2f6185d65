"""One field of many events as an array: what `normalise` does with each of them, and what is declined."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from tokenfuse.contracts.event import COST_USD_MAX
from tokenfuse.ingest.columns import Ints
from tokenfuse.ingest.fault import RefusedError
from tokenfuse.ingest.names import int64s
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
            numbers = int64s(times, len(times))
        except struct.error:  # beyond 64 bits
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


def counts(values: Sequence[int] | None, default: int, count: int) -> Ints:
    """A column of `count` integers; all of them the default where no event has the field."""
    return np.full(count, default) if values is None else int64s(values, count)


def numbered(numbers: dict[Any, int], values: Sequence[Any] | None, default: Any, count: int) -> Ints:
    """The number of each of `count` values; of the default where no event has the field."""
    if values is None:
        return np.full(count, numbers[default])
    return int64s(map(numbers.__getitem__, values), count)


def floats(values: Sequence[float | None] | None, missing: int, count: int) -> Any:
    """As floats, which are exact here: all are below 2^53."""
    if values is None:
        return np.full(count, float(missing))
    if None not in values:
        return np.frombuffer(struct.pack(f"{count}d", *values))
    return np.frombuffer(struct.pack(f"{count}d", *[missing if value is None else value for value in values]))


def label(labels: Iterable[dict[str, str] | None], name: str) -> list[str | None]:
    """The value of one label of each event."""
    return [label.get(name) if label else None for label in labels]
