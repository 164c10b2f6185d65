"""What only the scopes of agent runs count: their children, and which tool calls they repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.ingest.columns import Ints, Measured, Rows
from tokenfuse.ingest.table import RUN

if TYPE_CHECKING:
    from tokenfuse.ingest.table import CallTable

CHILDREN: Final = INDEX["children"]
SKETCH: Final = INDEX["tool_sketch"]


def with_parents(calls: CallTable, table: Measured) -> tuple[Ints, Rows]:
    """Rows of axis run_id and whose they are: one per call, and one more at the parent of each sub-agent's first call.

    The parent's row adds one child and nothing else. If the child's call is the dearest of the parent's pane, it is the
    example that the parent is shown with.

    Returns:
        int64, number of each row's run, and the rows.
    """
    runs, rows = calls.axes[RUN], table.rows
    measures: list[int] = table.measures.tolist()
    if SKETCH not in measures and CHILDREN not in measures:
        return runs, rows
    own = rows.sums.copy()
    if SKETCH in measures:
        own[measures.index(SKETCH)] = np.where(table.put_in_nanousd < 0, -1, 1) * calls.number("tool_sketch")
    if CHILDREN not in measures:
        return runs, rows._replace(sums=own)
    row = measures.index(CHILDREN)
    born = np.flatnonzero(own[row])
    more = rows.take(born)
    more.sums[:], more.maxima[:] = 0, 0
    more.sums[row], own[row] = own[row, born], 0
    both = zip(rows._replace(sums=own), more, strict=True)
    return np.concatenate((runs, calls.parents[born])), Rows(*(np.concatenate(c, axis=-1) for c in both))
