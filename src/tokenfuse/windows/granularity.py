"""Pane sizes and how many of each a kind of scope keeps (DESIGN section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tokenfuse.contracts.block import PANE_SECONDS

TEN_SECONDS: Final = "10s"
MINUTE: Final = "1m"
HOUR: Final = "1h"
DAY: Final = "1d"

PANE_SECONDS_OF: Final = {TEN_SECONDS: PANE_SECONDS, MINUTE: 60, HOUR: 3600, DAY: 86_400}
ROLLED_UP: Final = (MINUTE, HOUR, DAY)


@dataclass(frozen=True)
class Kind:
    """What one kind of scope remembers.

    Attributes:
        panes: granularity to the number of whole panes kept behind the open one.
        idle_seconds: a scope without calls for this long is evicted; its total goes out as a last rollup.
    """

    panes: dict[str, int]
    idle_seconds: int


SERIES: Final = Kind({TEN_SECONDS: 60, MINUTE: 60, HOUR: 336, DAY: 31}, 32 * 86_400)
USER: Final = Kind({MINUTE: 60, HOUR: 24, DAY: 31}, 32 * 86_400)
RUN: Final = Kind({MINUTE: 60, HOUR: 24, DAY: 1}, 2 * 86_400)


def kind_of(axis: str) -> Kind:
    """Kind of the scopes of an axis; further axes, cells and the global scope are series."""
    return {"user": USER, "run_id": RUN}.get(axis, SERIES)


def finest_for(kind: Kind, window_seconds: int) -> str:
    """The finest granularity whose kept panes cover a rolling window.

    Raises:
        ValueError: no granularity of this kind reaches so far back.
    """
    for granularity, count in kind.panes.items():
        size = PANE_SECONDS_OF[granularity]
        if window_seconds % size == 0 and count * size >= window_seconds:
            return granularity
    msg = f"no pane of this kind of scope covers a rolling window of {window_seconds} s"
    raise ValueError(msg)
