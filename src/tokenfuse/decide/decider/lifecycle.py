"""Lifecycle of alerts: inactive, pending, firing, resolved; what each verdict and the passing of time make of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenfuse.contracts.scope import fingerprint as fingerprint_of
from tokenfuse.decide.decider.board import Board
from tokenfuse.decide.decider.incidents import has_outgrown, rank
from tokenfuse.decide.decider.outputs import Reason
from tokenfuse.decide.decider.state import AlertRecord
from tokenfuse.decide.decider.timers import Timers, due_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenfuse.contracts.signal import Verdict
    from tokenfuse.decide.decider.expectations import Expectations
    from tokenfuse.decide.decider.facts import Facts
    from tokenfuse.decide.decider.state import Resolution, State
    from tokenfuse.decide.decider.switches import Switches
    from tokenfuse.decide.decider.turn import Turn

ALERTS_MAX: Final = 50_000
"""Active and resolved together, about 1 kB each; the resolved make room first."""

EVICTED: Final = 500
"""Resolved alerts forgotten at once when there is no room, so that the search for the oldest is paid once."""

FIRED_MAX: Final = 20
"""Firings remembered of one alert; more often than that a day says nothing new."""

UPDATE_MS: Final = 60_000
"""A standing alert's figures are written once a minute, or when the excess has doubled."""

DOUBLED_FROM_NANOUSD: Final = 10_000_000
"""Doubling counts from one cent: a cap's excess starts near zero and doubles with every call."""


class Lifecycle:
    """Applies verdicts and timers to the alerts of the state.

    Args:
        state: shared with the other parts.
        switches: engaged by firing alerts.
        expectations: hold back what people said is to be expected.
    """

    def __init__(self, state: State, switches: Switches, expectations: Expectations) -> None:
        self._state = state
        self._expectations = expectations
        self._alerts = state.alerts
        self._switches = switches
        self._board = Board(state.alerts)
        self._timers = Timers(state.alerts.values())

    def verdict(self, verdict: Verdict, facts: Facts, turn: Turn) -> None:
        """Apply one verdict of a rule in force."""
        alert = self._alerts.get(fingerprint_of(verdict.rule, verdict.scope))
        if verdict.state == "clear":
            self._expectations.cleared(fingerprint_of(verdict.rule, verdict.scope))
            if alert is not None and alert.breaching:
                self._clear(alert, verdict, turn)
        elif alert is None or alert.state == "resolved":
            self._open(verdict, facts, alert, turn)
        else:
            self._refresh(alert, verdict, facts, turn)

    def advance(self, partition: int, turn: Turn) -> None:
        """Let time pass for the alerts of one partition: resolve, promote, fire, forget."""
        clock = self._state.clocks[partition]
        due: dict[str, list[AlertRecord]] = {"firing": [], "pending": [], "resolved": []}
        for fingerprint in self._timers.pop(partition, clock):
            alert = self._alerts.get(fingerprint)
            if alert is not None:
                at_ms = due_ms(alert)
                if at_ms is not None and at_ms <= clock:
                    due[alert.state].append(alert)
                else:
                    self._timers.set(alert)
        for alert in due["firing"]:
            self._end_or_promote(alert, clock, turn)
        self._fire(due["pending"], turn)
        for alert in due["resolved"]:
            del self._alerts[alert.fingerprint]

    def resolve(self, alert: AlertRecord, resolution: Resolution, turn: Turn) -> None:
        """End an alert; what it explained is promoted a little later, if it still breaches."""
        clock, fired = self._state.clocks[alert.partition], alert.state == "firing"
        alert.state, alert.resolution = "resolved", resolution
        alert.resolved_ms, alert.orphaned_ms = clock, None
        turn.emit(alert, clock)
        self._timers.set(alert)
        for orphan in self._board.remove(alert):
            # One that came back and never fired explained nothing: its orphans have waited since its last firing.
            if fired:
                self._orphan(orphan)

    def review(self, turn: Turn) -> None:
        """Expectations changed: hold back what is expected now, and let go what is not any more."""
        for alert in self.active():
            self._weigh(alert, turn)

    def active(self) -> Iterable[AlertRecord]:
        """Alerts that are not resolved."""
        return [alert for alert in self._alerts.values() if alert.state != "resolved"]

    def explained_by(self, alert: AlertRecord) -> int:
        """How many alerts an alert explains."""
        return self._board.explained_by(alert)

    def _open(self, verdict: Verdict, facts: Facts, old: AlertRecord | None, turn: Turn) -> None:
        if old is None and not self._has_room():
            turn.out.refuse(Reason.ALERTS_FULL, f"{verdict.rule} on {verdict.scope or 'everything'}")
            return
        alert = AlertRecord(
            fingerprint=fingerprint_of(verdict.rule, verdict.scope), scope=verdict.scope,
            partition=verdict.partition, facts=facts, evidence=verdict, state="pending",
            since_ms=self._state.clocks[verdict.partition], starts_ms=verdict.starts_ms, at_ms=old.at_ms if old else 0,
            fired_ms=old.fired_ms if old else [],
        )  # fmt: skip
        self._alerts[alert.fingerprint] = alert
        self._expectations.mark(alert)
        self._board.add(alert)
        self._timers.set(alert)
        turn.emit(alert, verdict.at_ms)

    def _has_room(self) -> bool:
        if len(self._alerts) < ALERTS_MAX:
            return True
        resolved = [alert for alert in self._alerts.values() if alert.state == "resolved"]
        resolved.sort(key=lambda alert: (alert.resolved_ms or 0, alert.fingerprint))
        for oldest in resolved[:EVICTED]:
            del self._alerts[oldest.fingerprint]
        return bool(resolved)

    def _refresh(self, alert: AlertRecord, verdict: Verdict, facts: Facts, turn: Turn) -> None:
        alert.evidence, alert.facts, alert.cleared_ms = verdict, facts, None
        self._board.add(alert)
        self._timers.set(alert)
        self._expectations.adopt_acknowledged(alert, turn)
        self._weigh(alert, turn)
        if alert.state != "firing":
            return
        self._switches.engage(alert, turn)
        clock = self._state.clocks[alert.partition]
        if alert.orphaned_ms is None and self._is_unexplained(alert):
            self._orphan(alert)
        doubled = verdict.excess_nanousd >= 2 * max(alert.emitted_nanousd, DOUBLED_FROM_NANOUSD)
        if doubled or clock - alert.emitted_ms >= UPDATE_MS:
            turn.emit(alert, verdict.at_ms)

    def _weigh(self, alert: AlertRecord, turn: Turn) -> None:
        """Hold an alert back or let it go; one that people see and that is held back is over."""
        before = alert.held, alert.bar_factor
        self._expectations.mark(alert)
        if alert.held is not None and (alert.state == "firing" or not alert.breaching):
            self.resolve(alert, "held_back", turn)
        elif (alert.held, alert.bar_factor) != before:
            self._timers.set(alert)
            turn.emit(alert, self._state.clocks[alert.partition])

    def _clear(self, alert: AlertRecord, verdict: Verdict, turn: Turn) -> None:
        clock = self._state.clocks[alert.partition]
        alert.cleared_ms = clock
        alert.at_ms = max(alert.at_ms, verdict.at_ms)
        early = alert.held is not None or clock - alert.since_ms < alert.facts.for_ms
        if alert.state == "pending" and early:
            self.resolve(alert, "cleared_before_firing", turn)
        else:
            # A breach that stood long enough is told even if it ended while it waited for company.
            self._timers.set(alert)

    def _end_or_promote(self, alert: AlertRecord, clock: int, turn: Turn) -> None:
        if alert.cleared_ms is not None and alert.cleared_ms + alert.facts.keep_firing_ms <= clock:
            self.resolve(alert, "cleared", turn)
            return
        alert.orphaned_ms = None
        self._timers.set(alert)
        if alert.breaching:
            for changed in self._board.place(alert):
                turn.emit(changed, self._state.clocks[changed.partition])

    def _fire(self, due: list[AlertRecord], turn: Turn) -> None:
        """Fire what is due, with everything related to it that only waits for company, roots first."""
        batch: dict[str, AlertRecord] = {}
        for alert in due:
            if alert.fingerprint not in batch:
                batch |= self._board.gathered(alert, self._is_ready)
        for alert in sorted(batch.values(), key=rank):
            clock = self._state.clocks[alert.partition]
            alert.state = "firing"
            alert.fired_ms = [*alert.fired_ms, clock][-FIRED_MAX:]
            turn.emit(alert, clock)
            for changed in self._board.place(alert):
                turn.emit(changed, self._state.clocks[changed.partition])
            if alert.breaching:
                self._switches.engage(alert, turn)
            self._timers.set(alert)

    def _is_ready(self, alert: AlertRecord) -> bool:
        clock = self._state.clocks[alert.partition]
        waited = clock - alert.since_ms >= alert.facts.for_ms
        return alert.state == "pending" and alert.held is None and waited

    def _is_unexplained(self, alert: AlertRecord) -> bool:
        """Whether the alert that explained this one is over, or has become too small for it."""
        if alert.inhibited_by is None:
            return False
        root = self._alerts.get(alert.inhibited_by)
        return root is None or root.state != "firing" or has_outgrown(alert, root)

    def _orphan(self, alert: AlertRecord) -> None:
        alert.orphaned_ms = self._state.clocks[alert.partition]
        self._timers.set(alert)
