"""What judges of the closed panes of one axis begin with."""

from __future__ import annotations

from typing import Generic, TypeVar

from tokenfuse.contracts.ruleset import AbsenceRule, NoveltyRule
from tokenfuse.decide.judge import Court
from tokenfuse.decide.limits import Limits

R = TypeVar("R", bound=AbsenceRule | NoveltyRule)


class AxisJudge(Generic[R]):
    """One rule on one deltas partition: the table of its axis, whom it asks and tells, and the scopes it matches."""

    def __init__(self, rule: R, court: Court) -> None:
        """Bind a rule to the panes that it reads."""
        self.rule: R = rule
        self._table = court.state.tables[rule.axis]
        self._witness = court.witness
        self._standings = court.standings
        self._matching = Limits(rule.match, 0, {})

    def advance(self, watermark_s: int) -> None:
        """Nothing is kept between two looks, unless a judge says otherwise."""
