"""Kill switches: who holds a scope, for how long, and what the switch topic says of it.

A scope has one switch on the topic but may have several holds: two caps and a person. The strongest hold is
published; when it ends the next one takes its place, and the tombstone comes when none is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenfuse.contracts.alert import Enforcement
from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.killswitch import HEARTBEAT, Heartbeat, Switch, switch_key
from tokenfuse.contracts.scope import parse_scope_key
from tokenfuse.decide.decider.messages import switch_reason
from tokenfuse.decide.decider.outputs import SwitchChange
from tokenfuse.decide.decider.state import Hold

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfuse.contracts.alert import SwitchRefusal
    from tokenfuse.contracts.killswitch import Mode
    from tokenfuse.decide.decider.facts import Facts
    from tokenfuse.decide.decider.state import AlertRecord, State
    from tokenfuse.decide.decider.turn import Turn

PERSON: Final = ""
"""Owner of a hold that a command made: one a scope, the latest command counts."""

PERSON_SWITCHES_MAX: Final = 1_000
"""Rules stop at the rule set's `switches_max`; people decide for themselves, scripts of theirs stop here."""

COOLDOWN_MS: Final = 3_600_000
"""A rule whose switch a person released does not engage again for so long, or until its window ends."""

SWITCHES_MAX: Final = 100
"""Blast radius while no rule set is in force: RuleSet.switches_max's default."""

HEARTBEAT_MS: Final = 5_000
ACTIONS: Final = ("warn", "throttle", "downgrade", "block")
"""Weakest first: a call that is throttled or answered by a cheaper model still goes ahead."""


class Switches:
    """Holds of the state, and the messages that follow from them.

    Args:
        state: shared with the other parts.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def engage(self, alert: AlertRecord, turn: Turn) -> None:
        """Have a firing alert hold its scope, or go on holding it; `alert.switch_refused` says why not."""
        response = alert.facts.response
        if response is None or not alert.facts.acts:
            return
        ends_ms = turn.clock_ms + response.ttl_seconds * 1000
        if alert.evidence.until_ms is not None:
            ends_ms = min(ends_ms, alert.evidence.until_ms)
        key, held = switch_key(alert.scope), self.hold(alert)
        if held is not None and _still_says(held, alert.facts):
            lasts = held.expires_ms - turn.clock_ms >= response.ttl_seconds * 500
            if lasts or ends_ms <= held.expires_ms:
                return
            refusal = None
        else:
            refusal = self._refusal(alert, key, ends_ms, turn)
        if refusal is None:
            hold = _hold_of(alert, held.engaged_ms if held else turn.clock_ms, ends_ms)
            self._state.holds.setdefault(key, {})[alert.fingerprint] = hold
            turn.switch_keys.add(key)
        if refusal is None or refusal != alert.switch_refused:
            turn.emit(alert, alert.at_ms)
        alert.switch_refused = refusal

    def engage_by_person(self, hold: Hold, key: str, turn: Turn) -> bool:
        """Hold a scope by command; False: too many are held."""
        if key not in self._state.holds and len(self._state.holds) >= PERSON_SWITCHES_MAX:
            return False
        self._state.holds.setdefault(key, {})[PERSON] = hold
        turn.switch_keys.add(key)
        return True

    def release_by_person(self, key: str, turn: Turn) -> None:
        """End every hold on a scope and keep their rules from engaging again at once.

        The tombstone is written even if nothing was held: it repairs a topic that says more than the decider knows.
        """
        for owner in list(self._state.holds.get(key, {})):
            if owner != PERSON:
                self._cool_down(owner, turn)
            self._end(key, owner, turn)
        if key not in self._state.published:
            turn.out.switches.append(SwitchChange(key, None, turn.offset))
        turn.switch_keys.add(key)

    def release_rules(self, may_hold: Callable[[Hold], bool], turn: Turn) -> None:
        """End the holds of rules that are gone or no longer act."""
        for key, owners in list(self._state.holds.items()):
            for owner, hold in list(owners.items()):
                if owner != PERSON and not may_hold(hold):
                    self._end(key, owner, turn)

    def expire(self, turn: Turn) -> None:
        """End what has run out by the decider's clock."""
        for key, owners in list(self._state.holds.items()):
            for owner, hold in list(owners.items()):
                if hold.expires_ms <= turn.clock_ms:
                    self._end(key, owner, turn)
        over = [each for each, until_ms in self._state.cooldowns.items() if until_ms <= turn.clock_ms]
        for each in over:
            del self._state.cooldowns[each]

    def hold(self, alert: AlertRecord) -> Hold | None:
        """The hold that an alert has on its scope."""
        return self._state.holds.get(switch_key(alert.scope), {}).get(alert.fingerprint)

    def enforcement(self, alert: AlertRecord) -> Enforcement | None:
        """What the alert says of its hold; call after `settle`."""
        held = self.hold(alert)
        if held is None:
            return None
        generation = self._state.published[switch_key(alert.scope)].generation
        expires_at = to_rfc3339(held.expires_ms)
        return Enforcement(action=held.action, mode=held.mode, expires_at=expires_at, generation=generation)

    def settle(self, turn: Turn) -> None:
        """Write what changed: engaged, replaced, extended, released; and the heartbeat when it is due."""
        for key in sorted(turn.switch_keys):
            self._publish(key, turn)
        if turn.clock_ms - self._state.heartbeat_ms >= HEARTBEAT_MS:
            self._state.heartbeat_ms = turn.clock_ms
            beat = Heartbeat(at=to_rfc3339(turn.clock_ms), generation=turn.offset)
            turn.out.switches.append(SwitchChange(HEARTBEAT, beat, turn.offset))

    def _publish(self, key: str, turn: Turn) -> None:
        owners = self._state.holds.get(key)
        said = self._state.published.get(key)
        switch = _switch(max(owners.values(), key=_strength), turn.offset) if owners else None
        if switch is None:
            if self._state.published.pop(key, None) is not None:
                turn.out.switches.append(SwitchChange(key, None, turn.offset))
        elif said is None or _content(switch) != _content(said):
            self._state.published[key] = switch
            turn.out.switches.append(SwitchChange(key, switch, turn.offset))

    def _refusal(self, alert: AlertRecord, key: str, ends_ms: int, turn: Turn) -> SwitchRefusal | None:
        if ends_ms <= turn.clock_ms:
            return "window_over"
        if self._state.cooldowns.get(alert.fingerprint, 0) > turn.clock_ms:
            return "released_by_person"
        limit = self._state.ruleset.switches_max if self._state.ruleset else SWITCHES_MAX
        mode = mode_of(alert.facts)
        # Shadow switches stop nothing, so they are counted apart: a rule on trial must not disarm a real one.
        others = sum(
            any(hold.mode == mode for hold in owners.values())
            for other, owners in self._state.holds.items()
            if other != key
        )
        return "switches_max" if others >= limit else None

    def _cool_down(self, owner: str, turn: Turn) -> None:
        alert = self._state.alerts.get(owner)
        until_ms = alert.evidence.until_ms if alert is not None else None
        self._state.cooldowns[owner] = until_ms or turn.clock_ms + COOLDOWN_MS
        if alert is not None:
            alert.switch_refused = "released_by_person"

    def _end(self, key: str, owner: str, turn: Turn) -> None:
        owners = self._state.holds[key]
        del owners[owner]
        if not owners:
            del self._state.holds[key]
        turn.switch_keys.add(key)
        alert = self._state.alerts.get(owner)
        if alert is not None and alert.state == "firing":
            turn.emit(alert, turn.clock_ms)


def mode_of(facts: Facts) -> Mode:
    """Mode of the switches of a rule that acts."""
    return "enforce" if facts.mode == "enforce" else "shadow"


def _still_says(hold: Hold, facts: Facts) -> bool:
    """Whether a hold does what its rule, perhaps changed since, says now."""
    response = facts.response
    return response is not None and (hold.action, hold.mode, hold.downgrade_to) == (
        response.action, mode_of(facts), response.downgrade_to,
    )  # fmt: skip


def _hold_of(alert: AlertRecord, engaged_ms: int, expires_ms: int) -> Hold:
    response = alert.facts.response
    assert response is not None  # noqa: S101 -- `engage` returned otherwise.
    return Hold(
        owner=alert.fingerprint, scope=parse_scope_key(alert.scope), action=response.action,
        mode=mode_of(alert.facts), reason=switch_reason(alert), engaged_ms=engaged_ms, expires_ms=expires_ms,
        engaged_by=alert.facts.rule, rule=alert.facts.rule, downgrade_to=response.downgrade_to,
    )  # fmt: skip


def _strength(hold: Hold) -> tuple[bool, int, int, str]:
    return hold.mode == "enforce", ACTIONS.index(hold.action), hold.expires_ms, hold.owner


def _switch(hold: Hold, generation: int) -> Switch:
    return Switch(
        scope=hold.scope, action=hold.action, mode=hold.mode, reason=hold.reason,
        engaged_at=to_rfc3339(hold.engaged_ms), expires_at=to_rfc3339(hold.expires_ms),
        engaged_by=hold.engaged_by, generation=generation, rule=hold.rule,
        fingerprint=hold.owner or None, downgrade_to=hold.downgrade_to,
    )  # fmt: skip


def _content(switch: Switch) -> tuple[object, ...]:
    """All but the generation and the reason, whose dollars alone are no news to a gateway."""
    return (
        switch.action, switch.mode, switch.engaged_at, switch.expires_at,
        switch.engaged_by, switch.fingerprint, switch.downgrade_to,
    )  # fmt: skip
