"""What only the scopes of agent runs count: their children, and which tool calls they repeat."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.ingest.columns import Ints, Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenfuse.ingest.call import Call

CHILDREN: Final = INDEX["children"]
SKETCH: Final = INDEX["tool_sketch"]


def with_parents(calls: Sequence[Call], rows: Rows, signs: Ints) -> tuple[list[str | None], Rows]:
    """Rows of axis run_id and whose they are: one per call, and one more at the parent of each sub-agent's first call.

    The parent's row adds one child and nothing else. If the child's call is the dearest of the parent's pane, it is the
    example that the parent is shown with.

    Args:
        calls: n calls. rows: of the calls. signs: int64[n], -1: taken out again.
    """
    runs = list(map(attrgetter("run_id"), calls))
    sketches = np.fromiter(map(attrgetter("tool_sketch"), calls), np.int64, len(calls))
    born = np.flatnonzero(rows.sums[:, CHILDREN])
    if not len(born) and not sketches.any():
        return runs, rows
    own, more = rows.sums.copy(), np.zeros((len(born), rows.sums.shape[1]), np.int64)
    own[:, SKETCH] = sketches * signs
    own[:, CHILDREN], more[:, CHILDREN] = 0, rows.sums[born, CHILDREN]
    both = Rows(
        np.concatenate([rows.pane, rows.pane[born]]),
        np.concatenate([own, more]),
        np.concatenate([rows.maxima, np.zeros_like(rows.maxima[born])]),
        np.concatenate([rows.rank, rows.rank[born]]),
    )
    return runs + [calls[i].parent_run_id for i in born.tolist()], both
