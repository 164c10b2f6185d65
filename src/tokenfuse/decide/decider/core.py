"""The decider's pure core: one signal in, alerts, switches and control blocks out; no clock, no input or output.

    signal ─► seen before? ─► clocks ─► verdict: lifecycle ─► incident ─► kill switch ─┐
                                        command: rules, switches, acks, expectations  ─┼─► outputs of the turn
                                        clock: whatever is due                        ─┘

The Faust shell and `replay` drive it alike. The same log gives the same outputs; `snapshot` and `restore` change none.
"""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, get_args

from tokenfuse.contracts.alert import AlertState, HeldReason
from tokenfuse.contracts.axes import CELL, GLOBAL, JOINT
from tokenfuse.contracts.block import CONTROL_FORMAT, Control
from tokenfuse.contracts.ruleset import AnyRule, RuleSet, encode_ruleset
from tokenfuse.contracts.scope import parse_scope_key
from tokenfuse.contracts.signal import Clock, CommandSignal, Signal, Verdict
from tokenfuse.decide.decider.commands import Commands
from tokenfuse.decide.decider.expectations import Expectations
from tokenfuse.decide.decider.facts import Facts, facts_of
from tokenfuse.decide.decider.lifecycle import Lifecycle
from tokenfuse.decide.decider.messages import summary
from tokenfuse.decide.decider.outputs import Outputs, Reason
from tokenfuse.decide.decider.silences import Silences
from tokenfuse.decide.decider.state import State, decode_rows, encode_rows
from tokenfuse.decide.decider.switches import Switches
from tokenfuse.decide.decider.transition import transition
from tokenfuse.decide.decider.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenfuse.contracts.killswitch import Switch
    from tokenfuse.decide.decider.state import Hold


class DeciderCore:
    """Sole writer of alerts and switches: a pure function of `tokenfuse.signals`.

    Args:
        deltas_partitions: how many partitions `tokenfuse.deltas` has; signals of others are refused.
        state: where to go on; None: at the beginning of the log.
    """

    def __init__(self, deltas_partitions: int, state: State | None = None) -> None:
        self._state = state = state or State()
        self._partitions = deltas_partitions
        self._switches = Switches(state)
        self._silences = Silences(state)
        self._expectations = Expectations(state)
        self._lifecycle = Lifecycle(state, self._switches, self._expectations)
        self._commands = Commands(
            state, self._lifecycle, self._switches, self._silences, self._expectations, self._adopt
        )
        self._rules = {rule.id: rule for rule in state.ruleset.rules} if state.ruleset else {}
        self._facts = {each: facts_of(rule) for each, rule in self._rules.items()}

    @classmethod
    def restore(cls, rows: Mapping[str, bytes], deltas_partitions: int) -> DeciderCore:
        """The decider as it was when `snapshot` was called.

        Raises:
            UnknownFormatError: written by a release that this one cannot read.
        """
        return cls(deltas_partitions, decode_rows(rows))

    def snapshot(self) -> dict[str, bytes]:
        """Everything that later outputs depend on, `offset` included, in rows; about 1 kB an alert."""
        return encode_rows(self._state)

    @property
    def offset(self) -> int:
        """Offset of the last signal applied; -1: none. The shell goes on behind it."""
        return self._state.offset

    @property
    def clock_ms(self) -> int:
        """The decider's clock: the latest of what the deltas partitions say; 0: nothing heard yet."""
        return self._state.clock_ms

    @property
    def watermark_ms(self) -> int:
        """The earliest watermark of the deltas partitions heard; 0: nothing heard yet."""
        return min(self._state.watermarks.values(), default=0)

    @property
    def ruleset(self) -> RuleSet | None:
        """The rule set in force."""
        return self._state.ruleset

    def engaged(self) -> dict[str, Switch]:
        """What the switch topic has to say, by key: a new shell compares and repairs it."""
        return dict(self._state.published)

    def alert_counts(self) -> dict[AlertState, int]:
        """How many alerts are in each state."""
        counts = Counter(alert.state for alert in self._state.alerts.values())
        return {state: counts[state] for state in ("pending", "firing", "resolved")}

    def held_counts(self) -> dict[HeldReason, int]:
        """How many alerts are held back, by reason."""
        counts = Counter(
            alert.held.reason
            for alert in self._state.alerts.values()
            if alert.held and alert.state == "pending"
        )
        return {reason: counts[reason] for reason in get_args(HeldReason)}

    def apply(self, offset: int, signal: Signal) -> Outputs:
        """Apply one signal. Never raises for what a signal says; see `Outputs.refused`.

        Args:
            offset: of the signal in its log, larger than every one before.
            signal: as decoded.
        """
        turn = Turn(offset, self._state.clock_ms)
        reason = self._refusal(offset, signal)
        if reason is not None:
            turn.out.refuse(reason)
            return turn.out
        self._state.offset = offset
        if isinstance(signal, CommandSignal):
            self._commands.carry_out(signal.command, turn)
        else:
            self._hear(signal, turn)
        return self._finish(turn)

    def _refusal(self, offset: int, signal: Signal) -> Reason | None:
        if offset <= self._state.offset:
            return Reason.REPLAYED
        if isinstance(signal, CommandSignal):
            return Reason.REPLAYED if self._commands.is_known(signal.command) else None
        if not 0 <= signal.partition < self._partitions:
            return Reason.UNKNOWN_PARTITION
        seen = self._state.seen.get(signal.partition, (-1, -1))
        return Reason.REPLAYED if (signal.offset, signal.index) <= seen else None

    def _hear(self, signal: Verdict | Clock, turn: Turn) -> None:
        self._state.seen[signal.partition] = (signal.offset, signal.index)
        self._pass_time(signal, turn)
        if isinstance(signal, Verdict):
            self._judge(signal, turn)
        self._lifecycle.advance(signal.partition, turn)

    def _pass_time(self, signal: Verdict | Clock, turn: Turn) -> None:
        """Clocks only ever advance; a verdict lends its time to a partition of which nothing was heard before."""
        state, partition = self._state, signal.partition
        if isinstance(signal, Clock):
            state.clocks[partition] = max(state.clocks.get(partition, 0), signal.now_ms)
            state.watermarks[partition] = max(state.watermarks.get(partition, 0), signal.watermark_ms)
        elif partition not in state.clocks:
            state.clocks[partition] = min(signal.at_ms, state.clock_ms or signal.at_ms)
        if state.clocks[partition] > state.clock_ms:
            state.clock_ms = turn.clock_ms = state.clocks[partition]
            self._switches.expire(turn)
            if self._silences.is_due(turn.clock_ms):
                self._silences.expire(self._lifecycle.active(), turn)
            if self._expectations.is_due(turn.clock_ms):
                self._expectations.expire(turn)
                self._lifecycle.review(turn)

    def _judge(self, verdict: Verdict, turn: Turn) -> None:
        facts = self._facts.get(verdict.rule)
        if facts is None:
            turn.out.refuse(Reason.UNKNOWN_RULE, verdict.rule)
        elif not _is_scope(verdict.scope):
            turn.out.refuse(Reason.BAD_SCOPE, verdict.scope)
        else:
            self._lifecycle.verdict(verdict, facts, turn)

    def _adopt(self, ruleset: RuleSet, turn: Turn) -> None:
        """Put a rule set in force from this offset on, and tell every deltas partition."""
        self._state.ruleset = ruleset
        self._rules = {rule.id: rule for rule in ruleset.rules}
        self._facts = {each: facts_of(rule) for each, rule in self._rules.items()}
        for alert in self._lifecycle.active():
            rule = self._rules.get(alert.facts.rule)
            if rule is None or not covers(rule, alert.scope):
                self._lifecycle.resolve(alert, "rule_removed", turn)
        self._switches.release_rules(self._may_hold, turn)
        turn.out.controls.append(Control(CONTROL_FORMAT, "rules", turn.offset, encode_ruleset(ruleset)))

    def _may_hold(self, hold: Hold) -> bool:
        facts: Facts | None = self._facts.get(hold.rule or "")
        return facts is not None and facts.acts

    def _finish(self, turn: Turn) -> Outputs:
        """Write each switch and each alert once, as it stands at the end of the turn; roots before what they explain."""
        self._switches.settle(turn)
        self._expectations.settle(turn)
        changed = [self._state.alerts[each] for each in turn.alerts if each in self._state.alerts]
        for alert in sorted(changed, key=lambda each: (each.inhibited_by is not None, each.fingerprint)):
            self._silences.mark(alert)
            alert.visible = alert.visible or (alert.state == "firing" and alert.inhibited_by is None)
            alert.emitted_ms = self._state.clocks[alert.partition]
            alert.emitted_nanousd = alert.evidence.excess_nanousd
            enforcement = self._switches.enforcement(alert)
            said = summary(alert, enforcement, self._lifecycle.explained_by(alert))
            turn.out.alerts.append(transition(alert, enforcement, turn.offset, said))
        return turn.out


def covers(rule: AnyRule, scope: str) -> bool:
    """Whether a rule applies to a scope: its axis and its pattern on the value."""
    if rule.axis == GLOBAL:
        return not scope
    if rule.axis == CELL:
        return fnmatchcase(scope, rule.match)
    pairs = parse_scope_key(scope)
    if JOINT in rule.axis:
        return set(pairs) == set(rule.axis.split(JOINT)) and fnmatchcase(scope, rule.match)
    return list(pairs) == [rule.axis] and fnmatchcase(pairs[rule.axis], rule.match)


def _is_scope(key: str) -> bool:
    try:
        parse_scope_key(key)
    except ValueError:
        return False
    return True
