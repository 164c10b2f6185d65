"""Transition: an alert's record as the message on `tokenfuse.alerts`."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from tokenfuse.contracts.alert import Alert, ContributorUsd, CostChange, Driver, DriverUsd, Forecast, Held
from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.money import NANO, to_usd
from tokenfuse.contracts.scope import parse_scope_key

if TYPE_CHECKING:
    from tokenfuse.contracts.alert import Enforcement
    from tokenfuse.contracts.signal import Verdict
    from tokenfuse.decide.decider.state import AlertRecord

DRIVERS: dict[str, Driver] = {driver: driver for driver in get_args(Driver)}


def transition(alert: AlertRecord, enforcement: Enforcement | None, seq: int, said: str) -> Alert:
    """The message that says how an alert stands now.

    Args:
        enforcement: the hold that the alert has on its scope.
        seq: offset of the signal that caused it.
        said: its sentence.
    """
    evidence, facts = alert.evidence, alert.facts
    silenced, exhausted = alert.silenced_until_ms, evidence.exhausted_ms
    return Alert(
        fingerprint=alert.fingerprint, seq=seq, rule=facts.rule, kind=facts.kind,
        driver=DRIVERS.get(evidence.driver, facts.driver), scope=parse_scope_key(alert.scope), state=alert.state,
        starts_at=to_rfc3339(alert.starts_ms), at=to_rfc3339(alert.at_ms), severity=facts.severity,
        value=_shown(evidence.value, facts.unit), threshold=_shown(evidence.threshold, facts.unit),
        unit=facts.unit, excess_usd=to_usd(evidence.excess_nanousd),
        excess_usd_per_hour=to_usd(evidence.excess_nanousd_per_hour), summary=said,
        drivers=_drivers(evidence), contributors=_contributors(evidence), examples=evidence.examples,
        runbook=facts.runbook, action=facts.response.action if facts.response else None,
        enforcement=enforcement, switch_refused=alert.switch_refused, inhibited_by=alert.inhibited_by,
        acked_by=alert.acked_by, silenced_until=None if silenced is None else to_rfc3339(silenced),
        exhausted_at=None if exhausted is None else to_rfc3339(exhausted), held=_held(alert),
        bar_factor=alert.bar_factor if alert.bar_factor > 1 else None, forecast=_forecast(evidence),
        cost_change=_cost_change(evidence),
    )  # fmt: skip


def _held(alert: AlertRecord) -> Held | None:
    held = alert.held
    if held is None:
        return None
    return Held(reason=held.reason, by=held.by, until=to_rfc3339(held.until_ms), change=held.change)


def _forecast(evidence: Verdict) -> Forecast | None:
    found = evidence.outlook
    if found is None:
        return None
    return Forecast(
        usd=to_usd(found.nanousd), low_usd=to_usd(found.low_nanousd), high_usd=to_usd(found.high_nanousd),
        ends_at=to_rfc3339(found.ends_ms),
    )  # fmt: skip


def _cost_change(evidence: Verdict) -> CostChange | None:
    found = evidence.cost_change
    if found is None:
        return None
    return CostChange(
        starts_at=to_rfc3339(found.starts_ms), ends_at=to_rfc3339(found.ends_ms),
        spent_usd=to_usd(found.spent_nanousd), usual_usd=to_usd(found.usual_nanousd),
    )  # fmt: skip


def _shown(value: float, unit: str) -> float:
    """Verdicts carry money as nano-dollars (contracts.signal)."""
    return value / NANO if unit == "usd" else value


def _drivers(evidence: Verdict) -> tuple[DriverUsd, ...]:
    return tuple(DriverUsd(driver=part.driver, usd=to_usd(part.nanousd)) for part in evidence.drivers)


def _contributors(evidence: Verdict) -> tuple[ContributorUsd, ...]:
    """Those of users are told from all that the user ever spent; nobody contributes more than there is."""
    change, most = evidence.cost_change, 2**63
    if change is not None:
        most = max(change.spent_nanousd, change.usual_nanousd, evidence.excess_nanousd)
    return tuple(
        ContributorUsd(
            axis=part.axis, value=part.value, usd=to_usd(min(part.nanousd, most)), share=part.share
        )
        for part in evidence.contributors
    )
