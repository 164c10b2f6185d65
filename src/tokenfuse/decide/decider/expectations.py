"""Expectations: what people said beforehand (planned changes) or afterwards (feedback), and what it holds back.

A silence stops messages about a scope, whatever happens there, and its alerts fire and act all the same. An expectation
says how much is to be expected, so a learned rule's alert does not fire up to there, and does beyond it.
Neither softens a limit that a person set, nor a rule that enforces a kill switch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.expectation import Expectation
from tokenfuse.contracts.scope import parse_scope_key
from tokenfuse.decide.decider.levels import LEARNED, level, multiple, over
from tokenfuse.decide.decider.messages import accepted_words
from tokenfuse.decide.decider.outputs import ExpectationChange, Reason
from tokenfuse.decide.decider.silences import is_inside
from tokenfuse.decide.decider.state import Change, HeldBack, Lesson

if TYPE_CHECKING:
    from tokenfuse.contracts.command import Feedback
    from tokenfuse.decide.decider.facts import Facts
    from tokenfuse.decide.decider.state import AlertRecord, State
    from tokenfuse.decide.decider.turn import Turn

DAY_MS: Final = 86_400_000
STEP: Final = 0.25
STEPS_MAX: Final = 4
"""A false alarm raises the bar by a quarter of the threshold, four of them double it, and more do nothing."""

STEP_MS: Final = 14 * DAY_MS
"""So long each step counts: after two weeks the records that rules compare with hold what was seen then."""

ACCEPTED_MS: Final = 28 * DAY_MS
"""So long an accepted level is held back: twice as long as the baselines of the shipped rules reach."""

ACKED_MS: Final = 3 * DAY_MS
"""A drift that was acknowledged and still stands after three days is the new normal."""

TOLERANCE: Final = 1.25
"""A level that was accepted is the same level up to a quarter above it."""

PANE_MS: Final = 10_000
"""Verdicts say their time to a pane: one that began before a change may hold its first calls."""

LESSONS_MAX: Final = 10_000
CHANGES_MAX: Final = 200


class Expectations:
    """Planned changes and lessons of the state.

    Args:
        state: shared with the other parts.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._next_ms: int | None = self._find_next()

    def announce(self, change: Change, turn: Turn) -> bool:
        """Take a planned change in; False: too many are known."""
        if len(self._state.changes) >= CHANGES_MAX:
            return False
        self._state.changes[change.id] = change
        turn.expectation_keys.add(change.id)
        return True

    def cancel(self, change_id: str, turn: Turn) -> bool:
        """End a planned change; False: there is none of this id."""
        if self._state.changes.pop(change_id, None) is None:
            return False
        turn.expectation_keys.add(change_id)
        return True

    def refusal(self, alert: AlertRecord) -> Reason | None:
        """Why feedback on an alert can teach nothing."""
        if alert.facts.kind not in LEARNED:
            return Reason.EXPLICIT_LIMIT
        if _enforces(alert.facts):
            return Reason.STOPS_TRAFFIC
        full = alert.fingerprint not in self._state.lessons and len(self._state.lessons) >= LESSONS_MAX
        return Reason.LESSONS_FULL if full else None

    def teach(self, alert: AlertRecord, feedback: Feedback, by: str, reason: str, turn: Turn) -> None:
        """Learn from what a person says of an alert for which there is no `refusal`."""
        lesson = self._state.lessons.get(alert.fingerprint) or Lesson(
            fingerprint=alert.fingerprint, rule=alert.facts.rule, scope=alert.scope, by=by, reason=reason, said_ms=0
        )  # fmt: skip
        seen = level(alert.facts, alert.evidence)
        lesson.by, lesson.reason, lesson.said_ms = by, reason, turn.clock_ms
        if feedback == "expected":
            lesson.accepted, lesson.accepted_until_ms = seen, turn.clock_ms + ACCEPTED_MS
            lesson.words = accepted_words(alert, seen * TOLERANCE)
        else:
            lesson.steps = min(lesson.steps + 1, STEPS_MAX)
            lesson.raised_ms = turn.clock_ms
            lesson.episode = seen if alert.breaching else None
        self._state.lessons[alert.fingerprint] = lesson
        turn.expectation_keys.add(alert.fingerprint)

    def adopt_acknowledged(self, alert: AlertRecord, turn: Turn) -> None:
        """Call a drift expected that was acknowledged and stands still after ACKED_MS."""
        if alert.acked_ms is None or alert.acked_by is None or turn.clock_ms - alert.acked_ms < ACKED_MS:
            return
        if alert.facts.kind == "drift" and alert.held is None and self.refusal(alert) is None:
            self.teach(alert, "expected", alert.acked_by, "acknowledged, and still so", turn)

    def cleared(self, fingerprint: str) -> None:
        """A breach is over: the next one is a new one."""
        lesson = self._state.lessons.get(fingerprint)
        if lesson is not None:
            lesson.episode = None

    def mark(self, alert: AlertRecord) -> None:
        """Note on an alert why it is held back, and how far its bar is raised."""
        lesson = self._state.lessons.get(alert.fingerprint)
        softened = alert.facts.kind in LEARNED and not _enforces(alert.facts)
        alert.bar_factor = bar_factor(lesson) if lesson is not None and softened else 1.0
        alert.held = (self._planned(alert) or _taught(alert, lesson)) if softened else None

    def is_due(self, clock_ms: int) -> bool:
        """Whether something has run out."""
        return self._next_ms is not None and self._next_ms <= clock_ms

    def expire(self, turn: Turn) -> None:
        """Forget what has run out by the decider's clock."""
        for change in [c for c in self._state.changes.values() if c.ends_ms <= turn.clock_ms]:
            self.cancel(change.id, turn)
        for lesson in [each for each in self._state.lessons.values() if _next_ms(each) <= turn.clock_ms]:
            _wear_off(lesson, turn.clock_ms)
            if not lesson.steps and lesson.accepted is None:
                del self._state.lessons[lesson.fingerprint]
            turn.expectation_keys.add(lesson.fingerprint)

    def settle(self, turn: Turn) -> None:
        """Write what changed."""
        if turn.expectation_keys:
            self._next_ms = self._find_next()
        for key in sorted(turn.expectation_keys):
            value: Expectation | None = None
            if key in self._state.changes:
                value = _of_change(self._state.changes[key], turn.offset)
            elif key in self._state.lessons:
                value = _of_lesson(self._state.lessons[key], turn.offset)
            turn.out.expectations.append(ExpectationChange(key, value, turn.offset))

    def _planned(self, alert: AlertRecord) -> HeldBack | None:
        """The change that lasts longest of those that expect what the alert reports."""
        times, at_ms = multiple(alert.facts, alert.evidence), alert.evidence.at_ms + PANE_MS
        found = [
            change
            for change in self._state.changes.values()
            if change.starts_ms < at_ms and times <= change.factor and is_inside(alert, change.scope)
        ]
        if not found:
            return None
        change = max(found, key=lambda each: (each.ends_ms, each.id))
        return HeldBack(
            reason="planned_change", by=change.by, until_ms=change.ends_ms, change=change.id,
            words=f"up to {change.factor:g} times the usual is planned",
        )  # fmt: skip

    def _find_next(self) -> int | None:
        ends = [change.ends_ms for change in self._state.changes.values()]
        return min([*ends, *map(_next_ms, self._state.lessons.values())], default=None)


def bar_factor(lesson: Lesson) -> float:
    """Times its threshold that a rule's bar is raised to on a scope."""
    return 1 + STEP * lesson.steps


def _enforces(facts: Facts) -> bool:
    return facts.acts and facts.mode == "enforce"


def _taught(alert: AlertRecord, lesson: Lesson | None) -> HeldBack | None:
    if lesson is None:
        return None
    seen = level(alert.facts, alert.evidence)
    if lesson.accepted is not None and seen <= TOLERANCE * lesson.accepted:
        return HeldBack(
            reason="expected", by=lesson.by, until_ms=lesson.accepted_until_ms, words=f"{lesson.words} is expected"
        )  # fmt: skip
    same = lesson.episode is not None and seen <= TOLERANCE * lesson.episode
    if lesson.steps and (same or over(alert.facts, alert.evidence) <= bar_factor(lesson)):
        until_ms = lesson.raised_ms + lesson.steps * STEP_MS
        return HeldBack(
            reason="false_alarm", by=lesson.by, until_ms=until_ms, words="as much was a false alarm"
        )
    return None


def _next_ms(lesson: Lesson) -> int:
    """When a lesson weakens next."""
    accepted_ms = lesson.accepted_until_ms if lesson.accepted is not None else None
    step_ms = lesson.raised_ms + STEP_MS if lesson.steps else None
    return min(each for each in (accepted_ms, step_ms) if each is not None)


def _wear_off(lesson: Lesson, clock_ms: int) -> None:
    while lesson.steps and lesson.raised_ms + STEP_MS <= clock_ms:
        lesson.steps, lesson.raised_ms = lesson.steps - 1, lesson.raised_ms + STEP_MS
    if lesson.accepted_until_ms <= clock_ms:
        lesson.accepted, lesson.words = None, ""


def _of_change(change: Change, generation: int) -> Expectation:
    return Expectation(
        id=change.id, kind="change", scope=parse_scope_key(change.scope), by=change.by, reason=change.reason,
        starts_at=to_rfc3339(change.starts_ms), ends_at=to_rfc3339(change.ends_ms), factor=change.factor,
        generation=generation,
    )  # fmt: skip


def _of_lesson(lesson: Lesson, generation: int) -> Expectation:
    raised_until_ms = lesson.raised_ms + lesson.steps * STEP_MS if lesson.steps else 0
    ends_ms = max(raised_until_ms, lesson.accepted_until_ms if lesson.accepted is not None else 0)
    return Expectation(
        id=lesson.fingerprint, kind="feedback", scope=parse_scope_key(lesson.scope), by=lesson.by,
        reason=lesson.reason, starts_at=to_rfc3339(lesson.said_ms), ends_at=to_rfc3339(ends_ms),
        factor=bar_factor(lesson), rule=lesson.rule, accepted=lesson.words or None, generation=generation,
    )  # fmt: skip
