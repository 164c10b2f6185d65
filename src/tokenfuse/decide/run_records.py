"""What runs of each feature have done at most, day by day: what is usual for an agent without anybody saying so."""

from __future__ import annotations

from typing import Final

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.scope import parse_scope_key
from tokenfuse.decide.records import Records
from tokenfuse.detect.agent import RECORDED, of_runs
from tokenfuse.detect.arrays import IntArray
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.state import WindowState

DAY_S: Final = 86_400
CONTEXT_S: Final = 600
FEATURES_MAX: Final = 100_000


class RunLearner:
    """What runs of each feature do at most, by day. One for all agent rules of a partition."""

    def __init__(self, state: WindowState, records: Records) -> None:
        """Bind to the runs."""
        self.records = records
        self._table = state.tables["run_id"]
        self._features: dict[str, str] = {}
        self._calls = self._table.rolling("1m", CONTEXT_S, INDEX["calls"])
        self._input = self._table.rolling("1m", CONTEXT_S, INDEX["input_tokens"])
        self._looked_at: tuple[Ids, dict[str, IntArray]] | None = None

    def advance(self, latest_s: int) -> None:
        """Move the window of the context so that it ends with the pane of latest_s."""
        self._looked_at = None
        for rolling in (self._calls, self._input):
            rolling.advance(latest_s - latest_s % 60)

    def values(self, ids: Ids) -> dict[str, IntArray]:
        """What some runs have done so far, by measure; made once a moment for the array that all rules are given."""
        if self._looked_at is None or self._looked_at[0] is not ids:
            self._looked_at = ids, self.values_of(ids)
        return self._looked_at[1]

    def values_of(self, ids: Ids) -> dict[str, IntArray]:
        """The same for any other runs."""
        scopes = self._table.scopes
        lived = scopes.last_s[ids] - scopes.first_s[ids]
        recent = np.stack([self._calls.of(ids), self._input.of(ids)], axis=1)
        return of_runs(scopes.totals.gather(ids), scopes.maxima[ids], lived, recent)

    def places(self, ids: Ids) -> IntArray:
        """Places of the features of some runs in the records."""
        cells = self._table.scopes.cells
        return self.records.places([self._feature(cells[i]) for i in ids.tolist()])

    def learn(self, ids: Ids, odd: set[int | None], latest_s: int) -> None:
        """Runs of today, but for odd ones, teach what is normal from tomorrow on."""
        values = self.values(ids)
        seen = np.stack([values[name] for name in RECORDED], axis=1)
        if odd:
            usual = np.array([i not in odd for i in ids.tolist()], np.bool_)
            ids, seen = ids[usual], seen[usual]
        self.records.learn(self.places(ids), seen, latest_s // DAY_S)

    def _feature(self, cell: str | None) -> str:
        if cell is None or "=" not in cell:
            return ""
        found = self._features.get(cell)
        if found is None:
            if len(self._features) >= FEATURES_MAX:
                self._features.clear()
            found = self._features[cell] = parse_scope_key(cell).get("feature", "")
        return found
