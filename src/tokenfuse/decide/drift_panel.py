"""All drift rules of one deltas partition: baselines, scoreboards and judges, and their checkpoint rows.

Rows: `drift/baseline/<hours>/<cells or groups>.<chunk>`, `drift/records/<hours>-<hours_min>/<subject>:<axis>.<chunk>`,
`drift/joint/<hours>-<hours_min>/<axis>.0`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tokenfuse.contracts.ruleset import VolumeRule
from tokenfuse.decide.baselines import Baselines
from tokenfuse.decide.cells import CellIndex
from tokenfuse.decide.drifts import DriftJudge
from tokenfuse.decide.evidence import Witness
from tokenfuse.decide.learned import LearnedRule
from tokenfuse.decide.members import JointMembers
from tokenfuse.decide.recent import MINUTE_S, Recent
from tokenfuse.decide.scoreboard import DRIFT, SIGNALS, Scoreboard, volume_subject
from tokenfuse.decide.standings import Standings
from tokenfuse.decide.volumes import VolumeJudge
from tokenfuse.windows.codec import pack, unpack

PREFIX: Final = "drift/"
RECORD_SCOPES: Final = 1000
"""Scopes per checkpoint row of records: under 900 kB even if nothing compresses."""

Board = tuple[int, int]


class DriftPanel:
    """Judges every drift rule at every closed minute that is its turn."""

    def __init__(self, cells: CellIndex, witness: Witness, standings: Standings) -> None:
        """No rule is in force."""
        self._cells, self._witness, self._standings = cells, witness, standings
        self._recent: Recent | None = None
        self._judges: list[DriftJudge | VolumeJudge] = []
        self._baselines: dict[int, Baselines] = {}
        self._boards: dict[Board, Scoreboard] = {}
        self._scored = False
        self._names: set[str] = set()
        self._dropped: list[str] = []

    def install(self, rules: Sequence[LearnedRule]) -> None:
        """Put rules in force; what earlier ones learned is kept where these need it."""
        windows = {w for rule in rules for w in rule.windows_seconds}
        self._recent = Recent(self._cells.cells, windows) if rules else None
        self._baselines = {
            hours: self._baselines.get(hours) or Baselines(hours, self._cells)
            for hours in sorted({rule.baseline_hours for rule in rules})
        }
        before, self._boards = self._boards, {}
        self._judges = [self._judge(rule, before) for rule in rules]

    def _judge(self, rule: LearnedRule, before: Mapping[Board, Scoreboard]) -> DriftJudge | VolumeJudge:
        assert self._recent is not None  # noqa: S101 - there is a rule
        key = rule.baseline_hours, rule.baseline_hours_min
        if key not in self._boards:
            board = before.get(key) or Scoreboard(self._baselines[key[0]], key[1], self._recent)
            board.recent = self._recent
            self._boards[key] = board
        if isinstance(rule, VolumeRule):
            self._boards[key].watch(
                volume_subject(rule.windows_seconds), rule.axis, len(rule.windows_seconds)
            )
            return VolumeJudge(rule, self._boards[key], self._witness, self._standings)
        self._boards[key].watch(DRIFT, rule.axis, len(SIGNALS))
        return DriftJudge(rule, self._boards[key], self._witness, self._standings)

    @property
    def intervals_s(self) -> set[int]:
        """How often something is judged."""
        return set() if self._recent is None else {MINUTE_S}

    def move(self, watermark_s: int) -> None:
        """Let every window end with the last closed minute."""
        if self._recent is not None:
            self._recent.advance(watermark_s)

    def judge(self, before_s: int, judged_s: int, watermark_s: int, now_ms: int, *, learning: bool) -> None:
        """Judge what closed between two moments; while history is read nothing is told."""
        if self._recent is None or judged_s // MINUTE_S == before_s // MINUTE_S:
            return
        self._recent.advance(watermark_s)
        self._recent.settle()
        for baselines in self._baselines.values():
            baselines.refresh(watermark_s)
        ready = {key for key in self._boards if self._baselines[key[0]].baseline is not None}
        for key in ready:
            self._boards[key].move(watermark_s)
        for judge in self._judges:
            if (judge.rule.baseline_hours, judge.rule.baseline_hours_min) in ready:
                judge.judge(before_s, judged_s, now_ms, learning=learning)
        self._scored = self._scored or bool(ready)

    def rows(self) -> list[str]:
        """Names of all checkpoint rows."""
        names = [f"{PREFIX}baseline/{h}/{row}" for h, b in self._baselines.items() for row in b.rows()]
        for key, board in self._boards.items():
            which = f"{key[0]}-{key[1]}"
            for (subject, axis), records in board.records.items():
                chunks = range(-(-len(records.born) // RECORD_SCOPES))
                names += [f"{PREFIX}records/{which}/{subject}:{axis}.{chunk}" for chunk in chunks]
            joint = [axis for axis, m in board.members.items() if isinstance(m, JointMembers)]
            names += [f"{PREFIX}joint/{which}/{axis}.0" for axis in joint]
        return names

    def dirty_rows(self) -> list[str]:
        """Names of rows changed since they were last taken."""
        learned = {f"baseline/{hours}/" for hours, b in self._baselines.items() if b.changed}
        names = self.rows()
        self._dropped += sorted(self._names - set(names))
        self._names = set(names)
        dirty = [
            name for name in names
            if (not name.startswith(f"{PREFIX}baseline/") and self._scored)
            or any(name.startswith(PREFIX + part) for part in learned)
        ]  # fmt: skip
        for baselines in self._baselines.values():
            baselines.changed = False
        self._scored = False
        return dirty

    def dropped_rows(self) -> list[str]:
        """Names of rows that no longer exist, once."""
        names, self._dropped = self._dropped, []
        return names

    def snapshot(self, name: str) -> bytes:
        """Bytes of one row."""
        kind, which, row = name.removeprefix(PREFIX).split("/", 2)
        if kind == "baseline":
            return pack(self._baselines[int(which)].dump(row))
        axis, chunk = row.rsplit(".", 1)
        board = self._boards[_board(which)]
        if kind == "joint":
            members = board.members[axis]
            assert isinstance(members, JointMembers)  # noqa: S101 - `rows` names no other
            return pack(members.dump())
        first = int(chunk) * RECORD_SCOPES
        subject, _, axis = axis.partition(":")
        return pack(board.records[subject, axis].dump(slice(first, first + RECORD_SCOPES)))

    def load(self, rows: Mapping[str, bytes]) -> None:
        """Take over the rows of a checkpoint, after `install`."""
        baselines: dict[int, dict[str, Any]] = {}
        records: dict[tuple[Board, tuple[str, str]], dict[int, Any]] = {}
        for name in sorted(rows):
            kind, which, row = name.removeprefix(PREFIX).split("/", 2)
            if kind == "baseline":
                baselines.setdefault(int(which), {})[row] = unpack(rows[name])
            else:
                self._load_board(kind, _board(which), row, rows[name], records)
        for hours, parts in baselines.items():
            if hours in self._baselines:
                self._baselines[hours].load(parts)
        for (key, place), by_chunk in records.items():
            self._boards[key].records[place].load([by_chunk[chunk] for chunk in sorted(by_chunk)])
        self._names = set(rows)

    def _load_board(
        self, kind: str, key: Board, row: str, data: bytes,
        records: dict[tuple[Board, tuple[str, str]], dict[int, Any]],
    ) -> None:  # fmt: skip
        name, chunk = row.rsplit(".", 1)
        board = self._boards.get(key)
        if board is None:
            return
        if kind == "records":
            subject, _, axis = name.partition(":")
            if (subject, axis) in board.records:
                records.setdefault((key, (subject, axis)), {})[int(chunk)] = unpack(data)
        elif isinstance(members := board.members.get(name), JointMembers):
            members.load(unpack(data))


def _board(which: str) -> Board:
    hours, hours_min = which.split("-")
    return int(hours), int(hours_min)
