"""Calls as columns: the measures of every call, and rows summed by scope and pane. All int64, no float."""

from __future__ import annotations

import math
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenfuse.contracts.block import PANE_SECONDS
from tokenfuse.contracts.event import TIERS
from tokenfuse.contracts.measures import INDEX, LOG_SCALE, MAXIMA, MEASURES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tokenfuse.ingest.call import Call

Ints = NDArray[np.int64]
TABLE_ENTRIES_MAX: Final = 200_000
"""Bound of each cache here; a full one is emptied and fills again."""

# Summed as they stand in the call.
_PLAIN: Final = (
    "cost_nanousd", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
    "context_tokens", "tool_calls", "off_book_nanousd",
)  # fmt: skip
_FLAGS: Final = {
    "retry": "retries",
    "error": "errors",
    "response_cache_hit": "response_cache_hits",
    "unpriced": "unpriced",
}
_FIELDS: Final = (*_PLAIN, *_FLAGS, "tier", "latency_ms", *MAXIMA, "time_ms")
_fields: Callable[[Call], tuple[int, ...]] = attrgetter(*_FIELDS)


class Rows(NamedTuple):
    """n rows, one per call or one per scope and pane.

    Attributes:
        pane: int64[n], index into the slice's sorted panes.
        sums: int64[n, len(MEASURES)]: row-major, since rows are gathered and added whole.
        maxima: int64[n, len(MAXIMA)].
        rank: int64[n], place of the row's dearest call among the slice's calls; 0 is the dearest.
    """

    pane: Ints
    sums: Ints
    maxima: Ints
    rank: Ints

    def take(self, index: Ints) -> Rows:
        """These rows only, in this order."""
        return Rows(self.pane[index], self.sums[index], self.maxima[index], self.rank[index])


class Calls(NamedTuple):
    """The calls of a slice as columns.

    Attributes:
        rows: one per call.
        panes_s: the slice's distinct pane starts, sorted.
        order: int64[n], rank to index of the call.
        put_in_nanousd: int64[n], what each call costs; -1 for a call that is taken out again.
    """

    rows: Rows
    panes_s: Ints
    order: Ints
    put_in_nanousd: Ints


class LogTable(dict[int, int]):
    """L = round(LOG_SCALE * log2(1 + tokens)), half to even, by token count.

    >>> LogTable()[0], LogTable()[1], LogTable()[1023]
    (0, 256, 2560)
    """

    def __missing__(self, tokens: int) -> int:
        if len(self) >= TABLE_ENTRIES_MAX:
            self.clear()
        value = self[tokens] = round(LOG_SCALE * math.log2(1 + tokens))
        return value


class Codes(dict[Any, int]):
    """Distinct values in the order of first sight: `codes[value]` is the value's number."""

    def __missing__(self, value: Any) -> int:
        code = self[value] = len(self)
        return code


def factorise(values: Iterable[Any], count: int) -> tuple[Ints, Codes]:
    """Values as int64[count] numbers, and which number means what."""
    codes = Codes()
    return np.fromiter(map(codes.__getitem__, values), np.int64, count), codes


_logs = LogTable()


def columns(calls: Sequence[Call], signs: Ints) -> Calls:
    """Every measure of every call, times its sign (1: put in, -1: taken out again)."""
    count = len(calls)
    raw = np.fromiter(chain.from_iterable(map(_fields, calls)), np.int64, count * len(_FIELDS))
    field = dict(zip(_FIELDS, raw.reshape(count, len(_FIELDS)).T, strict=True))
    sums = _sums(field, count)
    for i in np.flatnonzero(sums[:, INDEX["runs"]]).tolist():
        sums[i, INDEX["children"]] = calls[i].parent_run_id is not None
    sums *= signs[:, None]
    maxima = np.stack([field[name] for name in MAXIMA], axis=1)
    maxima[signs < 0] = 0
    # Calls that are taken out rank last: the dearest call of a row is one that was put in, if any was.
    put_in_nanousd = np.where(signs > 0, field["cost_nanousd"], -1)
    order = np.argsort(-put_in_nanousd, kind="stable")
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    pane_ms = PANE_SECONDS * 1000
    panes_s, pane = np.unique(field["time_ms"] // pane_ms * PANE_SECONDS, return_inverse=True)
    return Calls(Rows(pane.astype(np.int64, copy=False), sums, maxima, rank), panes_s, order, put_in_nanousd)


def _sums(field: dict[str, Ints], count: int) -> Ints:
    sums = np.zeros((count, len(MEASURES)), np.int64)
    for name in _PLAIN:
        sums[:, INDEX[name]] = field[name]
    for name, measure in _FLAGS.items():
        sums[:, INDEX[measure]] = field[name]
    sums[:, INDEX["calls"]] = 1
    sums[:, INDEX["unpriced_nanousd"]] = field["cost_nanousd"] * field["unpriced"]
    sums[:, INDEX["cached_calls"]] = field["cache_read_tokens"] > 0
    for tier, name in enumerate(TIERS):
        sums[:, INDEX[f"tier_{name}"]] = field["tier"] == tier
    sums[:, INDEX["runs"]] = (field["step"] == 1) & (field["retry"] == 0)
    known = field["latency_ms"] >= 0
    sums[:, INDEX["latency_ms"]] = np.where(known, field["latency_ms"], 0)
    sums[:, INDEX["latency_calls"]] = known
    for side in ("input", "output"):
        logs = np.fromiter(map(_logs.__getitem__, field[f"{side}_tokens"].tolist()), np.int64, count)
        name = "prompt" if side == "input" else side
        sums[:, INDEX[f"{name}_log"]] = logs
        sums[:, INDEX[f"{name}_log_sq"]] = logs * logs
    return sums


def group(rows: Rows, codes: Ints, panes: int) -> tuple[Ints, Rows]:
    """Rows added up by (code, pane), sorted so.

    Args:
        rows: n rows, in any order.
        codes: int64[n], the scope of each row.
        panes: how many panes the slice has.

    Returns:
        The code of each summed row, and the summed rows.
    """
    key = codes * panes + rows.pane
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = run_starts(key)
    gathered = rows.take(order)
    code, pane = np.divmod(key[starts], panes)
    if len(starts) == len(key):
        return code, gathered
    return code, Rows(
        pane,
        np.add.reduceat(gathered.sums, starts, axis=0),
        np.maximum.reduceat(gathered.maxima, starts, axis=0),
        np.minimum.reduceat(gathered.rank, starts),
    )


def run_starts(sorted_keys: Ints) -> Ints:
    """Where each run of equal keys begins; at least one key.

    >>> run_starts(np.array([3, 3, 5, 5, 5, 9])).tolist()
    [0, 2, 5]
    """
    changes = np.flatnonzero(sorted_keys[1:] != sorted_keys[:-1])
    return np.concatenate((np.zeros(1, np.int64), changes + 1))
