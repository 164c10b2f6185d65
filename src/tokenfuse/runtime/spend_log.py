"""What every cell (and user, run, further axis) spent in a replay, in a temporary file: 24 bytes a row.

Which scopes will alert is known only afterwards, and the agents forget minutes after a day.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from tokenfuse.backtest.spend import EMPTY, Spend
from tokenfuse.contracts.axes import CELL, CELL_AXES, GLOBAL
from tokenfuse.contracts.block import AxisRows, Block, DeltaBlock
from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.scope import parse_scope_key
from tokenfuse.windows.rows import decode_rows

ROW: Final = np.dtype([("unit", "<i4"), ("pane", "<i4"), ("calls", "<i8"), ("cost_nanousd", "<i8")])
CHUNK_ROWS: Final = 1_000_000
PANE_S: Final = 10


class SpendLog:
    """Rows of delta blocks, taken as they pass and read once all have passed.

    Attributes:
        first_s, last_s: starts of the first and the last pane; -1: none.
    """

    def __init__(self, axes: Sequence[str]) -> None:
        """Keep cells, and these axes of those that are no sums of cells."""
        self._axes = {CELL, *axes} - {*CELL_AXES, GLOBAL}
        self._units: dict[tuple[str, str], int] = {}
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the backtest
        self.first_s = self.last_s = -1

    def take(self, blocks: Sequence[Block]) -> None:
        """Append the rows of some blocks."""
        for block in blocks:
            for rows in block.rows if isinstance(block, DeltaBlock) else ():
                if rows.axis in self._axes:
                    self._append(rows)

    def scope(self, scope: Mapping[str, str]) -> Spend:
        """Everything that a scope spent; its units are its cells, or the one value of another axis."""
        return self.scopes([scope])[0]

    def scopes(self, wanted: Sequence[Mapping[str, str]]) -> list[Spend]:
        """The same of several scopes: the file is read once."""
        of_scope = [self._members(scope) for scope in wanted]
        anything = np.unique(np.concatenate([np.empty(0, np.int64), *of_scope]))
        rows = self._read(anything)
        return [_spend(rows[np.isin(rows["unit"], members)]) for members in of_scope]

    def groups(self) -> Mapping[int, int]:
        """Cells that differ in the model only, by one number: unit to unit."""
        first: dict[Any, int] = {}
        groups = {}
        for (axis, value), unit in self._units.items():
            if axis == CELL:
                rest = {name: v for name, v in parse_scope_key(value).items() if name != "model"}
                key: Any = tuple(sorted(rest.items()))
            else:
                key = axis, value
            groups[unit] = first.setdefault(key, unit)
        return groups

    def _append(self, axis_rows: AxisRows) -> None:
        rows = decode_rows(axis_rows)
        keys = ((axis_rows.axis, value) for value in rows.values)
        units = np.array([self._units.setdefault(key, len(self._units)) for key in keys], np.int32)
        pane_s = rows.pane_s
        if not len(pane_s):
            return
        out = np.empty(len(pane_s), ROW)
        out["unit"] = units[rows.scope]
        out["pane"] = pane_s // PANE_S
        out["calls"], out["cost_nanousd"] = rows.sums[:, INDEX["calls"]], rows.sums[:, INDEX["cost_nanousd"]]
        self._file.write(out.tobytes())
        first_s, last_s = int(pane_s.min()), int(pane_s.max())
        self.first_s = first_s if self.first_s < 0 else min(self.first_s, first_s)
        self.last_s = max(self.last_s, last_s)

    def _members(self, scope: Mapping[str, str]) -> npt.NDArray[np.int64]:
        if not set(scope) <= set(CELL_AXES):
            key = next(iter(scope.items())) if len(scope) == 1 else ("", "")
            return np.array([self._units[key]] if key in self._units else [], np.int64)
        cells = (
            unit for (axis, value), unit in self._units.items()
            if axis == CELL and scope.items() <= parse_scope_key(value).items()
        )  # fmt: skip
        return np.fromiter(cells, np.int64)

    def _read(self, units: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        self._file.seek(0)
        parts = []
        while data := self._file.read(CHUNK_ROWS * ROW.itemsize):
            rows = np.frombuffer(data, ROW)
            parts.append(rows[np.isin(rows["unit"], units)])
        self._file.seek(0, 2)
        return np.concatenate(parts) if parts else np.empty(0, ROW)


def _spend(rows: npt.NDArray[Any]) -> Spend:
    if not len(rows):
        return EMPTY
    rows = rows[np.argsort(rows["pane"], kind="stable")]
    return Spend(
        rows["unit"].astype(np.int64),
        rows["pane"].astype(np.int64) * PANE_S,
        rows["calls"].astype(np.int64),
        rows["cost_nanousd"].astype(np.int64),
    )
