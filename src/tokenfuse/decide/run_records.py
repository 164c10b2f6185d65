"""What runs of each feature have done at most, day by day: what is usual for an agent without anybody saying so.

Runs that were found odd teach apart: those of ODD_DAYS_MAX days raise no bar for the next one, but a feature that has odd
runs on more days than that has changed, and nobody wants to be told so every day.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.scope import parse_scope_key
from tokenfuse.decide.records import Records
from tokenfuse.detect.agent import RECORDED, of_runs
from tokenfuse.detect.arrays import IntArray
from tokenfuse.windows.ahead import Ahead
from tokenfuse.windows.course import Steps, course_of
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.state import WindowState

DAY_S: Final = 86_400
CONTEXT_S: Final = 600
FEATURES_MAX: Final = 100_000
ODD_DAYS_MAX: Final = 3
RECENT: Final = (INDEX["calls"], INDEX["input_tokens"])
COST: Final = INDEX["cost_nanousd"]


class Foreseen(NamedTuple):
    """What runs will have done at every moment at which a block adds calls of theirs, by moment, then run. Shapes: [n].

    Attributes:
        features: of each run, while the block is added; None: that of some run changes meanwhile.
    """

    ids: Ids
    latest_s: IntArray
    cost_nanousd: IntArray
    values: dict[str, IntArray]
    features: list[str] | None

    @property
    def within_a_day(self) -> bool:
        """Whether no moment is of another day, so that the records of the days before stay as they are."""
        return bool(self.latest_s[0] // DAY_S == self.latest_s[-1] // DAY_S)


class RunLearner:
    """What runs of each feature do at most, by day. One for all agent rules of a partition.

    Attributes:
        records, odd: of ordinary runs, and of those of which something stood.
        foreseen: of the block that `foresee` was last told of.
    """

    def __init__(self, state: WindowState, records: Records, odd: Records) -> None:
        """Bind to the runs."""
        self.records = records
        self.odd = odd
        self._table = state.tables["run_id"]
        self._features: dict[str, str] = {}
        self._calls, self._input = (self._table.rolling("1m", CONTEXT_S, measure) for measure in RECENT)
        self._looked_at: tuple[Ids, dict[str, IntArray]] | None = None
        self.foreseen: Foreseen | None = None

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
        return self.records.places(self._features_named(ids))

    def record(self, places: IntArray, day: int, quantity: int) -> tuple[IntArray, IntArray]:
        """The largest of one quantity on the days before, by place of a feature; and how many days have one, int64[n]."""
        found, days = self.records.before(places, day, quantity)
        odd = self.odd.known_places(self.records.keys_of(places))
        return np.maximum(found[:, 0], self.odd.before(odd, day, quantity)[0][:, ODD_DAYS_MAX]), days

    def learn(self, ids: Ids, odd: set[int | None], latest_s: int) -> None:
        """Runs of today teach what is normal from tomorrow on, odd ones apart."""
        values, day = self.values(ids), latest_s // DAY_S
        seen = np.stack([values[name] for name in RECORDED], axis=1)
        if odd:
            usual = np.array([i not in odd for i in ids.tolist()], np.bool_)
            self.odd.learn(self.odd.places(self._features_named(ids[~usual])), seen[~usual], day)
            ids, seen = ids[usual], seen[usual]
        self.records.learn(self.places(ids), seen, day)

    def foresee(self, ahead: Ahead, steps: Steps) -> None:
        """Look at a block that is to be added at some moments."""
        course = course_of(ahead, steps, self._table, CONTEXT_S, RECENT)
        lived = course.last_s - self._table.scopes.first_s[course.ids]
        features = self._features_of(ahead)
        self.foreseen = Foreseen(
            ids=course.ids,
            latest_s=course.latest_s,
            cost_nanousd=course.totals[:, COST],
            values=of_runs(course.totals, course.maxima, lived, course.recent),
            features=None if features is None else [features[i] for i in course.place.tolist()],
        )

    def learn_ahead(self) -> bool:
        """Learn what every moment of a block that was foreseen would teach, if no run is odd; False: it cannot be told."""
        run = self.foreseen
        if run is None or run.features is None:
            return False
        seen = np.stack([run.values[name] for name in RECORDED], axis=1)
        places, days = self.records.places(run.features), run.latest_s // DAY_S
        for day in np.unique(days).tolist():
            self.records.learn(places[days == day], seen[days == day], day)
        return True

    def _features_named(self, ids: Ids) -> list[str]:
        cells = self._table.scopes.cells
        return [self._feature(cells[i]) for i in ids.tolist()]

    def _features_of(self, ahead: Ahead) -> list[str] | None:
        """Of each run of a block; None: some run's is another one before the block than in it."""
        cells = self._table.scopes.cells
        found = [None if (cell := cells[i]) is None else self._feature(cell) for i in ahead.ids.tolist()]
        for place, cell in ahead.cells():
            feature = self._feature(cell)
            if found[place] is None:
                found[place] = feature
            elif found[place] != feature:
                return None
        return [feature or "" for feature in found]

    def _feature(self, cell: str | None) -> str:
        if cell is None or "=" not in cell:
            return ""
        found = self._features.get(cell)
        if found is None:
            if len(self._features) >= FEATURES_MAX:
                self._features.clear()
            found = self._features[cell] = parse_scope_key(cell).get("feature", "")
        return found
