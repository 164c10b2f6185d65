"""What scopes will have done at every moment at which a block is added to them pane by pane: exact, before it is added."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tokenfuse.contracts.block import PANE_SECONDS
from tokenfuse.windows.ahead import Ahead, Places, sort_keys
from tokenfuse.windows.granularity import MINUTE, PANE_SECONDS_OF
from tokenfuse.windows.narrow import Sums
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.rows import Times
from tokenfuse.windows.table import AxisTable


class Steps(NamedTuple):
    """Moments at which a block is added, ascending: the newest pane that is, and the newest event time then. Shapes: [s]."""

    panes_s: Times
    latest_s: Times

    @classmethod
    def of(cls, panes_s: list[int], latest_s: int, last_s: int) -> Steps:
        """One moment per pane; latest_s, last_s: newest event time before the block and after it."""
        panes = np.array(panes_s, np.int64)
        latest = np.maximum(panes + PANE_SECONDS - 1, latest_s)
        latest[-1] = max(last_s, latest_s)
        return cls(panes, latest)


class Course(NamedTuple):
    """One for each moment at which calls of a scope are added, by moment, then scope.

    Shapes: [n], but for totals [n, M], maxima [n, len(MAXIMA)] and recent [n, k], the sums of a rolling window.
    `place` is that of the scope in `Ahead.ids`; the others are as of `Scopes` and `Steps`.
    """

    place: Places
    ids: Ids
    latest_s: Times
    totals: Sums
    maxima: Sums
    last_s: Times
    recent: Sums


def course_of(
    ahead: Ahead, steps: Steps, table: AxisTable, window_s: int, measures: tuple[int, ...]
) -> Course:
    """The course of every scope of a block.

    Args:
        window_s, measures: of the rolling window, in panes of a minute.
    """
    count, rows = len(steps.panes_s), ahead.rows
    step = np.searchsorted(steps.panes_s + PANE_SECONDS, rows.pane_s, side="right")
    keys = ahead.of_row * count + np.minimum(step, count - 1)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    scope, last = keys // count, np.flatnonzero(np.diff(keys, append=-1))
    last = last[np.lexsort((scope[last], keys[last] % count))]
    place, step = scope[last], keys[last] % count
    ids, scopes = ahead.ids[place], table.scopes
    maxima = np.stack([_highest(scope, column) for column in rows.maxima[order].T], axis=1)
    return Course(
        place=place,
        ids=ids,
        latest_s=steps.latest_s[step],
        totals=scopes.totals.gather(ids) + _added(scope, rows.sums[order], last),
        maxima=np.maximum(scopes.maxima[ids], maxima[last]),
        last_s=np.maximum(scopes.last_s[ids], _highest(scope, rows.pane_s[order])[last]),
        recent=_recent(ahead, steps, table, (window_s, measures), (place, step)),
    )


def _added(scope: Places, sums: Sums, last: Places) -> Sums:
    """What each scope's rows up to some of them add, from rows by scope."""
    added = np.concatenate([np.zeros((1, sums.shape[1]), np.int64), np.cumsum(sums, axis=0)])
    whole: Sums = added[last + 1] - added[np.searchsorted(scope, scope[last])]
    return whole


def _highest(scope: Places, values: Sums) -> Sums:
    """The largest value of each row's scope so far, from rows by scope."""
    levels, rank = np.unique(values, return_inverse=True)
    base = scope * len(levels)
    highest: Sums = levels[np.maximum.accumulate(base + rank) - base]
    return highest


def _recent(
    ahead: Ahead,
    steps: Steps,
    table: AxisTable,
    window: tuple[int, tuple[int, ...]],
    at: tuple[Places, Places],
) -> Sums:
    """Sums over the rolling window that ends with each moment's minute, of what is added by then; int64[n, k]."""
    (window_s, measures), (place, step), size = window, at, PANE_SECONDS_OF[MINUTE]
    ends = steps.latest_s - steps.latest_s % size
    until_s = steps.latest_s.copy()
    until_s[-1] = ends[-1] + size - 1  # the last moment adds all that is left, be it of panes to come
    starts = np.arange(ends[0] - window_s + size, ends[-1] + size, size)
    k = len(ahead.ids)
    keys = np.concatenate([sort_keys(np.repeat(np.arange(k), len(starts)), np.tile(starts, k)),
                           sort_keys(ahead.of_row, ahead.rows.pane_s)])  # fmt: skip
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.searchsorted(keys, sort_keys(place, (ends - window_s + size)[step]))
    until = np.searchsorted(keys, sort_keys(place, until_s[step]), side="right")
    found = []
    for measure in measures:
        before = table.history(MINUTE, starts.tolist(), ahead.ids, measure)
        sums = np.concatenate([before.T.ravel(), ahead.rows.sums[:, measure]])[order]
        inside = np.concatenate([[0], np.cumsum(sums)])
        found.append(inside[until] - inside[first])
    return np.stack(found, axis=1)
