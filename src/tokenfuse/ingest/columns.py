"""Calls as columns: the measures of every call, and rows summed by scope and pane. All int64, no float."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenfuse.contracts.block import PANE_SECONDS
from tokenfuse.contracts.event import TIERS
from tokenfuse.contracts.measures import INDEX, LOG_SCALE, MAXIMA, MEASURES
from tokenfuse.ingest.names import NONE, TABLE_ENTRIES_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenfuse.ingest.table import CallTable

Ints = NDArray[np.int64]

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
LOGS_READY: Final = 1 << 16
"""Token counts below this have their logarithm in an array; larger ones in a table that fills as they come."""

PACKED_BELOW: Final = 2**62


class Rows(NamedTuple):
    """n rows, one per call or one per scope and pane.

    Attributes:
        pane: int64[n], index into the slice's sorted panes.
        sums: int64[m, n]: measure after measure, since each is gathered and added in one sweep.
        maxima: int64[len(MAXIMA), n].
        rank: int64[n], place of the row's dearest call among the slice's calls; 0 is the dearest.
    """

    pane: Ints
    sums: Ints
    maxima: Ints
    rank: Ints

    def take(self, index: Ints) -> Rows:
        """These rows only, in this order."""
        return Rows(*(column.take(index, axis=-1) for column in self))


class Measured(NamedTuple):
    """The measures of a slice's calls.

    Attributes:
        rows: one per call.
        measures: int64[m], which of MEASURES the rows of `sums` are; the others are 0 for every call.
        panes_s: the slice's distinct pane starts, sorted.
        order: int64[n], rank to place of the call.
        put_in_nanousd: int64[n], what each call costs; -1 for a call that is taken out again.
    """

    rows: Rows
    measures: Ints
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


_large_logs = LogTable()
_logs = np.array([round(LOG_SCALE * math.log2(1 + tokens)) for tokens in range(LOGS_READY)], np.int64)


def log_of(tokens: Ints) -> Ints:
    """L of every count. The C library's logarithm one by one, as ever: numpy's may differ in the last bit."""
    logs = _logs[np.minimum(tokens, LOGS_READY - 1)]
    large = np.flatnonzero(tokens >= LOGS_READY)
    logs[large] = [_large_logs[count] for count in tokens[large].tolist()]
    return logs


def measured(calls: CallTable, taken_out: int) -> Measured:
    """Every measure of n calls; the last `taken_out` of them are taken out again, so with a minus."""
    count = len(calls.ids)
    put_in = np.arange(count) < count - taken_out
    sums = _sums(calls)
    sums[:, count - taken_out :] *= -1
    is_used = np.array(sums.any(axis=1), bool)
    is_used[INDEX["tool_sketch"]] = calls.number("tool_sketch").any()  # 0 here; `agents` fills it in
    measures = np.flatnonzero(is_used)
    maxima = np.stack([calls.number(name) for name in MAXIMA]) * put_in
    # Calls that are taken out rank last: the dearest call of a row is one that was put in, if any was.
    put_in_nanousd = np.where(put_in, calls.number("cost_nanousd"), -1)
    order = np.argsort(-put_in_nanousd, kind="stable")
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    panes_s, pane = np.unique(
        calls.number("time_ms") // (PANE_SECONDS * 1000) * PANE_SECONDS, return_inverse=True
    )
    rows = Rows(pane.astype(np.int64, copy=False), sums[measures], maxima, rank)
    return Measured(rows, measures, panes_s, order, put_in_nanousd)


def _sums(calls: CallTable) -> Ints:
    sums = np.zeros((len(MEASURES), len(calls.ids)), np.int64)
    for name in _PLAIN:
        sums[INDEX[name]] = calls.number(name)
    for name, measure in _FLAGS.items():
        sums[INDEX[measure]] = calls.number(name)
    sums[INDEX["calls"]] = 1
    sums[INDEX["unpriced_nanousd"]] = calls.number("cost_nanousd") * calls.number("unpriced")
    sums[INDEX["cached_calls"]] = calls.number("cache_read_tokens") > 0
    for tier, name in enumerate(TIERS):
        sums[INDEX[f"tier_{name}"]] = calls.number("tier") == tier
    runs = (calls.number("step") == 1) & (calls.number("retry") == 0)
    sums[INDEX["runs"]] = runs
    sums[INDEX["children"]] = runs & (calls.parents != NONE)
    latency_ms = calls.number("latency_ms")
    sums[INDEX["latency_ms"]] = np.maximum(latency_ms, 0)
    sums[INDEX["latency_calls"]] = latency_ms >= 0
    for side, name in (("input", "prompt"), ("output", "output")):
        logs = log_of(calls.number(f"{side}_tokens"))
        sums[INDEX[f"{name}_log"]] = logs
        sums[INDEX[f"{name}_log_sq"]] = logs * logs
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
        np.add.reduceat(gathered.sums, starts, axis=1),
        np.maximum.reduceat(gathered.maxima, starts, axis=1),
        np.minimum.reduceat(gathered.rank, starts),
    )


def pack(columns: Sequence[Ints]) -> Ints:
    """One number for each combination, n of them and at least one; combinations keep their order.

    >>> pack([np.array([7, 7, 9]), np.array([1, 0, 0])]).tolist()
    [1, 0, 4]
    """
    key, size = np.zeros_like(columns[0]), 1
    for column in columns:
        values, span = _from_zero(column)
        if size * span >= PACKED_BELOW:
            (key, size), (values, span) = _dense(key), _dense(column)
        key, size = key * span + values, size * span
    return key


def _from_zero(column: Ints) -> tuple[Ints, int]:
    least, most = int(column.min()), int(column.max())
    return column - least, most - least + 1


def _dense(column: Ints) -> tuple[Ints, int]:
    values, places = np.unique(column, return_inverse=True)
    return places, len(values)


def run_starts(sorted_keys: Ints) -> Ints:
    """Where each run of equal keys begins; at least one key.

    >>> run_starts(np.array([3, 3, 5, 5, 5, 9])).tolist()
    [0, 2, 5]
    """
    changes = np.flatnonzero(sorted_keys[1:] != sorted_keys[:-1])
    return np.concatenate((np.zeros(1, np.int64), changes + 1))
