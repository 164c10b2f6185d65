"""The scopes of one axis in a slice: its values in the order of the wire, and their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tokenfuse.ingest.columns import group
from tokenfuse.ingest.names import NONE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenfuse.ingest.columns import Ints, Rows
    from tokenfuse.ingest.names import Numbers


class Seen(NamedTuple):
    """The values of one axis that a slice holds.

    Attributes:
        values: k of them, sorted by owner and value.
        owners: int64[k], output partition of each.
        place: int64, from a value's number to its place here; -1 where it has none.
    """

    values: list[str]
    owners: Ints
    place: Ints

    @classmethod
    def of(cls, numbers: Ints, known: Numbers, owner_of: Mapping[str, int]) -> Seen:
        """Of the calls' values.

        Args:
            numbers: int64[n], the value of each call.
            known: what the numbers mean.
            owner_of: output partition of a value.
        """
        marks = np.zeros(len(known.known), bool)
        marks[numbers] = True
        marks[NONE] = False
        by_value = sorted((known.known[number] or "", number) for number in np.flatnonzero(marks).tolist())
        owners = np.array([owner_of[value] for value, _ in by_value], np.int64)
        order = np.argsort(owners, kind="stable")
        place = np.full(len(marks), -1)
        place[np.array([number for _, number in by_value], np.int64)[order]] = np.arange(len(order))
        return cls([by_value[i][0] for i in order.tolist()], owners[order], place)


class Scopes(NamedTuple):
    """Rows of one axis of the whole slice, sorted by (owner, value, pane).

    Attributes:
        code: int64[n], the place of each row's value in `seen`.
    """

    axis: str
    seen: Seen
    code: Ints
    rows: Rows

    @classmethod
    def of(cls, axis: str, seen: Seen, places: Ints, rows: Rows, panes: int) -> Scopes | None:
        """Rows summed by value and pane; those without a value (place -1) have no scope here."""
        if not seen.values:
            return None
        present = np.flatnonzero(places >= 0)
        if len(present) < len(places):
            places, rows = places[present], rows.take(present)
        return cls(axis, seen, *group(rows, places, panes))
