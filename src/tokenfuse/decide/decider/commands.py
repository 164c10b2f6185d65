"""Commands: what an operator asks for, done once however often it is delivered, or refused with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UnsetType

from tokenfuse.contracts.axes import AXES, FURTHER_AXES
from tokenfuse.contracts.clock import from_rfc3339
from tokenfuse.contracts.killswitch import switch_key
from tokenfuse.contracts.ruleset import decode_ruleset
from tokenfuse.contracts.scope import scope_key
from tokenfuse.decide.decider.outputs import Reason
from tokenfuse.decide.decider.state import Hold
from tokenfuse.decide.decider.switches import PERSON
from tokenfuse.windows.reach import out_of_reach

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfuse.contracts.command import Command, CommandKind
    from tokenfuse.contracts.ruleset import RuleSet
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

LABEL: Final = "labels."


class Commands:
    """Carries out commands on the parts of the decider.

    Args:
        state: shared with the other parts.
        lifecycle: whose alerts are acknowledged and silenced.
        switches: engaged and released.
        silences: set and lifted.
        adopt: puts a rule set in force.
    """

    def __init__(
        self, state: State, lifecycle: Lifecycle, switches: Switches, silences: Silences,
        adopt: Callable[[RuleSet, Turn], None],
    ) -> None:  # fmt: skip
        self._state = state
        self._lifecycle = lifecycle
        self._switches = switches
        self._silences = silences
        self._adopt = adopt
        self._verbs: dict[CommandKind, Callable[[Command, Turn], Reason | None]] = {
            "engage": self._engage,
            "release": self._release,
            "rules": self._rules,
            "ack": self._ack,
            "silence": self._silence,
            "unsilence": self._unsilence,
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
