"""Drift scores of one moment, computed once however many rules read them, and the records that they have to beat."""

from __future__ import annotations

from typing import Final

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import DriftSignal
from tokenfuse.decide.baselines import HOUR_S, Baselines
from tokenfuse.decide.members import JointMembers, TableMembers, members_of
from tokenfuse.decide.recent import Recent
from tokenfuse.detect.arrays import BoolArray, FloatArray, IntArray
from tokenfuse.detect.baseline import UnitBaseline, collapse
from tokenfuse.detect.drift import ScopeScores, plain_z, score_axes
from tokenfuse.detect.records import Records
from tokenfuse.detect.signals import CELL_SIGNALS, GROUP_SIGNALS
from tokenfuse.detect.units import LONG_SECONDS, RESIDUAL, SPREAD, UnitScores, Usual, score_units, usual
from tokenfuse.detect.volume import PRIOR_CALLS, VolumeScores, score_volume

DAY_S: Final = 86_400
SIGNALS: Final = (*CELL_SIGNALS, *GROUP_SIGNALS)
DRIFT, VOLUME = "drift", "volume"
"""Subjects of records; those of volume name their windows, too (`volume_subject`)."""

FIRED_DAYS_MAX: Final = {DRIFT: 3, VOLUME: 1}
"""Days on which a scope fired that are no record. A peak of traffic comes back: a batch job that fired yesterday and today is
how the scope is. Drift that comes back on a third day is still the deployment that was not rolled back."""

RECORD_CALLS_MIN: Final = 5
"""A score of fewer calls is no record: the next surprise of one call would hide behind it."""


class Scoreboard:
    """Scores by window, kind of unit and axis, for one baseline length and number of hours that a cell needs.

    Attributes:
        members: scopes by axis. records: by subject (`drift`, one row per entry of SIGNALS; of volume one row per
            window) and axis.
    """

    def __init__(self, baselines: Baselines, hours_min: int, recent: Recent) -> None:
        """Bind to what it reads; nothing is scored yet."""
        self.baselines = baselines
        self.recent = recent
        self._hours_min = hours_min
        self._watermark_s = 0
        self._usual: dict[tuple[str, int], tuple[tuple[int, int, int], Usual]] = {}
        self._units: dict[tuple[str, int], UnitScores] = {}
        self._axes: dict[tuple[str, int], dict[str, ScopeScores]] = {}
        self._scopes: dict[tuple[str, int, str], ScopeScores] = {}
        self._volumes: dict[tuple[int, str, str], VolumeScores] = {}
        self.members: dict[str, TableMembers | JointMembers] = {}
        self.records: dict[tuple[str, str], Records] = {}

    def watch(self, subject: str, axis: str, rows: int) -> None:
        """Rules will ask for this; records of another number of rows are of no use to them."""
        if axis not in self.members:
            self.members[axis] = members_of(axis, self.baselines.cells)
        known = self.records.get((subject, axis))
        if known is None or known.rows != rows:
            self.records[subject, axis] = Records(rows, FIRED_DAYS_MAX[subject.partition("-")[0]])

    def move(self, watermark_s: int) -> None:
        """A new moment: what was scored before is forgotten."""
        self._watermark_s = watermark_s
        self._units.clear()
        self._axes.clear()
        self._scopes.clear()
        self._volumes.clear()
        for (_, axis), records in self.records.items():
            self.members[axis].of_cells()
            records.meet(self.members[axis].born())
            records.move(watermark_s // DAY_S)

    def scores(self, signal: DriftSignal, window_seconds: int, axis: str) -> tuple[ScopeScores, int]:
        """Scores of every scope of an axis in a window, and the signal's row in them."""
        kind, row = _place(signal)
        key = kind, window_seconds, axis
        if key not in self._scopes:
            self._scopes[key] = self._score(kind, window_seconds, axis)
        return self._scopes[key], row

    def unit_z(self, signal: DriftSignal, window_seconds: int, units: IntArray) -> FloatArray:
        """Score in a window of some units alone, float64[n]: of cells, or for GROUP_SIGNALS of groups; 0 without calls."""
        kind, row = _place(signal)
        scores = self._score_units(kind, window_seconds)
        if not len(scores.unit):
            return np.zeros(len(units))
        place = np.minimum(np.searchsorted(scores.unit, units), len(scores.unit) - 1)
        z = plain_z(scores.columns[RESIDUAL, row, place], scores.columns[SPREAD, row, place])
        return np.where(scores.unit[place] == units, z, 0.0)

    def bar(self, signal: DriftSignal, axis: str) -> FloatArray:
        """The record that a signal of each scope has to beat: float64[n]."""
        return np.asarray(self.records[DRIFT, axis].bars()[SIGNALS.index(signal)])

    def fires(self, signal: DriftSignal, axis: str, scopes: IntArray) -> None:
        """A rule fires on these scopes: this day is no ordinary one for them."""
        self.records[DRIFT, axis].fires(SIGNALS.index(signal), scopes)

    def volume(self, window_seconds: int, axis: str, place: tuple[str, int]) -> VolumeScores:
        """Calls of every scope of an axis in a window against what is usual; they are the row of the subject's records."""
        subject, row = place
        key = window_seconds, axis, subject
        if key not in self._volumes:
            length = self.recent.length_seconds(window_seconds) / HOUR_S
            calls = self.recent.of(window_seconds)[INDEX["calls"]]
            normal = self._normal("cells", window_seconds)
            usual_calls, known = np.zeros(len(calls)), np.zeros(len(calls), np.bool_)
            usual_calls[: len(normal.known)] = normal.calls_per_hour * length
            known[: len(normal.known)] = normal.known
            before = self.recent.calls_per_hour_before(window_seconds) * length
            of_cells, scopes = self.members[axis].of_cells(), len(self.members[axis].born())
            scores = score_volume(calls, usual_calls, before, known, of_cells, scopes)
            shown = np.where(scores.calls > PRIOR_CALLS, scores.calls, 0)
            self.records[subject, axis].saw(slice(row, row + 1), shown[None])
            self._volumes[key] = scores
        return self._volumes[key]

    def past(self, cells: IntArray) -> tuple[IntArray, BoolArray, int]:
        """Sums over the past of some cells, int64[M, n]; whether each was judged, bool[n]; hours that the past covers."""
        past = self._past("cells").padded(len(self.baselines.cells.cells.scopes.values))
        hours = int(past.hours[cells].max(initial=1))
        return past.sums[:, cells], past.hours[cells] >= self._hours_min, max(hours, 1)

    def groups_judged(self, cells: IntArray) -> BoolArray:
        """Whether each cell's group was judged, bool[n]."""
        groups = self.baselines.cells.group_of_cell()
        past = self._past("groups").padded(int(groups.max(initial=-1)) + 1)
        return np.asarray(past.hours[groups[cells]] >= self._hours_min)

    def _score(self, kind: str, window_seconds: int, axis: str) -> ScopeScores:
        scopes = self._score_axes(kind, window_seconds)[axis]
        counted = np.where(scopes.calls >= RECORD_CALLS_MIN, scopes.z, 0)
        first = 0 if kind == "cells" else len(CELL_SIGNALS)
        if (DRIFT, axis) in self.records:
            self.records[DRIFT, axis].saw(slice(first, first + len(counted)), counted)
        return scopes

    def _score_axes(self, kind: str, window_seconds: int) -> dict[str, ScopeScores]:
        """Scores by axis, of all axes: where one is asked for, the others mostly are, too."""
        key = kind, window_seconds
        if key not in self._axes:
            of_unit = [members.of_cells() for members in self.members.values()]
            if kind == "groups":
                of_unit = [self._scope_of_group(scope) for scope in of_unit]
            scopes = [len(members.born()) for members in self.members.values()]
            scores = score_axes(self._score_units(kind, window_seconds), of_unit, scopes)
            self._axes[key] = dict(zip(self.members, scores, strict=True))
        return self._axes[key]

    def _scope_of_group(self, scope_of_cell: IntArray) -> IntArray:
        """Cells of a group differ in the model only, so they share the scope of every other axis."""
        groups = self.baselines.cells.group_of_cell()
        out = np.full(int(groups.max(initial=-1)) + 1, -1, np.int64)
        out[groups] = scope_of_cell
        return out

    def _score_units(self, kind: str, window_seconds: int) -> UnitScores:
        key = kind, window_seconds
        if key not in self._units:
            now, before = self.recent.of(window_seconds), self._before(window_seconds)
            if kind == "groups":
                groups = self.baselines.cells.group_of_cell()
                count = int(groups.max(initial=-1)) + 1
                now, before = (
                    collapse(now, groups, count),
                    np.bincount(groups, before, count).astype(np.float64),
                )
            normal = self._normal(kind, window_seconds)
            self._units[key] = score_units(now, normal, before, self.recent.length_seconds(window_seconds))
        return self._units[key]

    def _before(self, window_seconds: int) -> FloatArray:
        if window_seconds < LONG_SECONDS:
            return self.recent.calls_per_hour_before(window_seconds)
        return np.full(len(self.baselines.cells.cells.scopes.values), np.inf)

    def _normal(self, kind: str, window_seconds: int) -> Usual:
        hour = self._watermark_s // HOUR_S
        version = (self.baselines.learned_s, hour, self._hours_min)
        kept = self._usual.get((kind, window_seconds))
        if kept is None or kept[0] != version:
            signals = CELL_SIGNALS if kind == "cells" else GROUP_SIGNALS
            made = usual(signals, self._past(kind), hour % 24, window_seconds, self._hours_min)
            kept = self._usual[kind, window_seconds] = version, made
        return kept[1]

    def _past(self, kind: str) -> UnitBaseline:
        baseline = self.baselines.baseline
        assert baseline is not None  # noqa: S101 - asked only once there is one
        return baseline.cells if kind == "cells" else baseline.groups


def volume_subject(windows_seconds: tuple[int, ...]) -> str:
    """Under which the records of a volume rule are kept: rules of the same windows share them."""
    return f"{VOLUME}-{'-'.join(map(str, windows_seconds))}"


def _place(signal: DriftSignal) -> tuple[str, int]:
    """Kind of the units that a signal is judged on, and its row among that kind's signals."""
    kind, signals = ("groups", GROUP_SIGNALS) if signal in GROUP_SIGNALS else ("cells", CELL_SIGNALS)
    return kind, signals.index(signal)
