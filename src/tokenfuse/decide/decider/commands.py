"""Commands: what an operator asks for, done once however often it is delivered, or refused with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UnsetType

from tokenfuse.contracts.axes import AXES, FURTHER_AXES
from tokenfuse.contracts.clock import from_rfc3339
from tokenfuse.contracts.command import TTL_SECONDS_MAX
from tokenfuse.contracts.killswitch import switch_key
from tokenfuse.contracts.ruleset import decode_ruleset
from tokenfuse.contracts.scope import scope_key
from tokenfuse.decide.decider.outputs import Reason
from tokenfuse.decide.decider.state import Change, Hold
from tokenfuse.decide.decider.switches import PERSON
from tokenfuse.windows.reach import out_of_reach

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfuse.contracts.command import Command, CommandKind
    from tokenfuse.contracts.ruleset import RuleSet
    from tokenfuse.decide.decider.expectations import Expectations
    from tokenfuse.decide.decider.lifecycle import Lifecycle
    from tokenfuse.decide.decider.silences import Silences
    from tokenfuse.decide.decider.state import State
    from tokenfuse.decide.decider.switches import Switches
    from tokenfuse.decide.decider.turn import Turn

IDS_KEPT_MS: Final = 31 * 86_400_000
"""As long as `tokenfuse.commands` keeps a command that could be delivered again."""

IDS_MAX: Final = 100_000

AHEAD_MS_MAX: Final = 7 * 86_400_000
"""A command may be ahead of the decider's clock, which stands still when no events are ingested, but not by more."""

ANNOUNCED_AHEAD_MS_MAX: Final = TTL_SECONDS_MAX * 1000
"""A planned change begins within a month: what lies further ahead is planned again before it."""

LABEL: Final = "labels."


class Commands:
    """Carries out commands on the parts of the decider.

    Args:
        state: shared with the other parts.
        lifecycle: whose alerts are acknowledged and silenced.
        switches: engaged and released.
        silences: set and lifted.
        expectations: changes announced and cancelled, feedback taken.
        adopt: puts a rule set in force.
    """

    def __init__(
        self, state: State, lifecycle: Lifecycle, switches: Switches, silences: Silences, expectations: Expectations,
        adopt: Callable[[RuleSet, Turn], None],
    ) -> None:  # fmt: skip
        self._state = state
        self._lifecycle = lifecycle
        self._switches = switches
        self._silences = silences
        self._expectations = expectations
        self._adopt = adopt
        self._verbs: dict[CommandKind, Callable[[Command, Turn], Reason | None]] = {
            "engage": self._engage,
            "release": self._release,
            "rules": self._rules,
            "ack": self._ack,
            "silence": self._silence,
            "unsilence": self._unsilence,
            "feedback": self._feedback,
            "announce": self._announce,
            "cancel": self._cancel,
        }

    def is_known(self, command: Command) -> bool:
        """Whether a command with this id was carried out or refused before."""
        return command.id in self._state.command_ids

    def carry_out(self, command: Command, turn: Turn) -> None:
        """Do what the command says, or note why not."""
        self._remember(command, turn)
        reason = self._verbs[command.kind](command, turn)
        if reason is not None:
            turn.out.refuse(reason, f"{command.kind} {command.id} by {command.by}")

    def _remember(self, command: Command, turn: Turn) -> None:
        ids = self._state.command_ids
        while ids and next(iter(ids.values())) <= turn.clock_ms - IDS_KEPT_MS:
            del ids[next(iter(ids))]
        if len(ids) >= IDS_MAX:
            oldest = next(iter(ids))
            del ids[oldest]
            turn.out.refuse(
                Reason.COMMAND_IDS_FULL, f"forgot {oldest} early: more than {IDS_MAX} commands a month"
            )
        ids[command.id] = turn.clock_ms

    def _engage(self, command: Command, turn: Turn) -> Reason | None:
        start_ms = _start_ms(command, turn)
        reason = _scope_fault(command) or _ttl_fault(command)
        if reason is not None or start_ms is None:
            return reason or Reason.BAD_TIME
        if command.action == "downgrade":
            # A command names no model to downgrade to.
            return Reason.DOWNGRADE_NEEDS_RULE
        scope = command.scope or {}
        hold = Hold(
            owner=PERSON, scope=scope, action=command.action or "block", mode="enforce",
            reason=command.reason or f"engaged by {command.by}", engaged_ms=start_ms,
            expires_ms=start_ms + (command.ttl_seconds or 0) * 1000, engaged_by=command.by,
        )  # fmt: skip
        engaged = self._switches.engage_by_person(hold, switch_key(scope_key(scope)), turn)
        return None if engaged else Reason.SWITCHES_FULL

    def _release(self, command: Command, turn: Turn) -> Reason | None:
        reason = _scope_fault(command)
        if reason is None:
            self._switches.release_by_person(switch_key(scope_key(command.scope or {})), turn)
        return reason

    def _rules(self, command: Command, turn: Turn) -> Reason | None:
        if isinstance(command.ruleset, UnsetType):
            return Reason.BAD_RULESET
        try:
            ruleset = decode_ruleset(bytes(command.ruleset))
        except msgspec.DecodeError:
            return Reason.BAD_RULESET
        if any(out_of_reach(rule) for rule in ruleset.rules):
            return (
                Reason.BAD_RULESET
            )  # the rule files were checked already: somebody wrote the command by hand
        self._adopt(ruleset, turn)
        return None

    def _ack(self, command: Command, turn: Turn) -> Reason | None:
        if command.fingerprint is None:
            return Reason.MISSING_FINGERPRINT
        alert = self._state.alerts.get(command.fingerprint)
        if alert is None or alert.state == "resolved":
            return Reason.UNKNOWN_ALERT
        if alert.acked_by is None:
            alert.acked_ms = turn.clock_ms
        alert.acked_by = command.by
        turn.emit(alert, turn.clock_ms)
        return None

    def _silence(self, command: Command, turn: Turn) -> Reason | None:
        start_ms = _start_ms(command, turn)
        reason = _scope_fault(command) or _ttl_fault(command)
        if reason is not None or start_ms is None:
            return reason or Reason.BAD_TIME
        until_ms = start_ms + (command.ttl_seconds or 0) * 1000
        key = scope_key(command.scope or {})
        done = self._silences.set(key, until_ms, self._lifecycle.active(), turn)
        return None if done else Reason.SILENCES_FULL

    def _unsilence(self, command: Command, turn: Turn) -> Reason | None:
        reason = _scope_fault(command)
        if reason is not None:
            return reason
        done = self._silences.lift(scope_key(command.scope or {}), self._lifecycle.active(), turn)
        return None if done else Reason.NOT_SILENCED

    def _feedback(self, command: Command, turn: Turn) -> Reason | None:
        """A resolved alert teaches too, as long as it is remembered."""
        if command.fingerprint is None:
            return Reason.MISSING_FINGERPRINT
        if command.feedback is None:
            return Reason.MISSING_FEEDBACK
        alert = self._state.alerts.get(command.fingerprint)
        if alert is None:
            return Reason.UNKNOWN_ALERT
        reason = self._expectations.refusal(alert)
        if reason is None:
            self._expectations.teach(alert, command.feedback, command.by, command.reason, turn)
            self._lifecycle.review(turn)
            if alert.state == "firing" and not alert.breaching:
                self._lifecycle.resolve(alert, "cleared", turn)  # it only went on firing for a while
        return reason

    def _announce(self, command: Command, turn: Turn) -> Reason | None:
        now_ms = _start_ms(command, turn)
        starts_ms, ends_ms = _ms(command.starts_at), _ms(command.ends_at)
        reason = _scope_fault(command)
        if reason is not None or command.factor is None:
            return reason or Reason.MISSING_FACTOR
        if now_ms is None or starts_ms is None or ends_ms is None:
            return Reason.BAD_TIME
        too_long = ends_ms - starts_ms > TTL_SECONDS_MAX * 1000
        if ends_ms <= max(starts_ms, now_ms) or starts_ms > now_ms + ANNOUNCED_AHEAD_MS_MAX or too_long:
            return Reason.BAD_TIME
        change = Change(
            id=command.id, scope=scope_key(command.scope or {}), factor=command.factor, starts_ms=starts_ms,
            ends_ms=ends_ms, by=command.by, reason=command.reason,
        )  # fmt: skip
        if not self._expectations.announce(change, turn):
            return Reason.CHANGES_FULL
        self._lifecycle.review(turn)
        return None

    def _cancel(self, command: Command, turn: Turn) -> Reason | None:
        if command.change is None or not self._expectations.cancel(command.change, turn):
            return Reason.UNKNOWN_CHANGE
        self._lifecycle.review(turn)
        return None


def _ms(text: str | None) -> int | None:
    try:
        return None if text is None else from_rfc3339(text)
    except ValueError:
        return None


def _start_ms(command: Command, turn: Turn) -> int | None:
    """When a command's time to live begins: at its own time where the decider's clock has fallen behind it."""
    try:
        at_ms = from_rfc3339(command.at)
    except ValueError:
        return None
    if turn.clock_ms and at_ms > turn.clock_ms + AHEAD_MS_MAX:
        return None
    return max(at_ms, turn.clock_ms)


def _scope_fault(command: Command) -> Reason | None:
    if command.scope is None:
        return Reason.MISSING_SCOPE
    known = (*AXES, *FURTHER_AXES)
    if any(axis not in known and not axis.startswith(LABEL) for axis in command.scope):
        return Reason.UNKNOWN_AXIS
    return Reason.BAD_SCOPE if "" in command.scope.values() else None


def _ttl_fault(command: Command) -> Reason | None:
    return Reason.MISSING_TTL if command.ttl_seconds is None else None
