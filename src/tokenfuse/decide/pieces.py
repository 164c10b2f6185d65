"""Parts of a checkpoint that may outgrow a message: cut into rows `<name>.<number>`, written again when the part changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PIECE_BYTES_MAX: Final = 512 * 1024


class Pieces:
    """The rows of every part as they were cut last; a clean row that is asked for again has the same bytes.

    Attributes:
        dirty: rows cut since they were last taken, in their order.
    """

    def __init__(self) -> None:
        """No part is known."""
        self.dirty: dict[str, None] = {}
        self._dropped: list[str] = []
        self._rows: dict[str, list[bytes]] = {}

    def cut(self, name: str, data: bytes) -> None:
        """A part changed."""
        before = len(self._rows.get(name, ()))
        starts = range(0, max(len(data), 1), PIECE_BYTES_MAX)
        self._rows[name] = [data[start : start + PIECE_BYTES_MAX] for start in starts]
        self.dirty.update(dict.fromkeys(f"{name}.{number}" for number in range(len(starts))))
        self._drop(name, len(starts), before)

    def forget(self, name: str) -> None:
        """A part is no more."""
        self._drop(name, 0, len(self._rows.pop(name, ())))

    def take(self, row: str) -> bytes:
        """One row, which counts as unchanged from now on."""
        self.dirty.pop(row, None)
        name, _, number = row.rpartition(".")
        return self._rows[name][int(number)]

    def take_dropped(self) -> list[str]:
        """Rows that no longer exist, once."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def names(self) -> list[str]:
        """Every row."""
        return [f"{name}.{number}" for name, rows in self._rows.items() for number in range(len(rows))]

    def restore(self, name: str, rows: Mapping[str, bytes]) -> bytes | None:
        """A part from all rows of a checkpoint; None: it has none."""
        pieces: list[bytes] = []
        while (piece := rows.get(f"{name}.{len(pieces)}")) is not None:
            pieces.append(piece)
        if not pieces:
            return None
        self._rows[name] = pieces
        return b"".join(pieces)

    def _drop(self, name: str, first: int, end: int) -> None:
        gone = [f"{name}.{number}" for number in range(first, end)]
        self._dropped += gone
        for row in gone:
            self.dirty.pop(row, None)
