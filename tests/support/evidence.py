"""What every alert has to prove: drivers that add up to its change of cost, and that the calls cost as much."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from tokenfuse.contracts.alert import Alert
from tokenfuse.contracts.clock import from_rfc3339
from tokenfuse.contracts.money import to_nanousd
from tokenfuse.ingest.call import Call


def check_evidence(alert: Alert, calls: Sequence[Call]) -> None:
    """Assert the identity, to the nano-dollar, and what was spent against all calls, which are summed here by themselves."""
    change = alert.cost_change
    assert change is not None, alert.rule
    spent, usual = Decimal(change.spent_usd), Decimal(change.usual_usd)
    assert sum(Decimal(part.usd) for part in alert.drivers) == spent - usual, alert.rule
    since_ms, until_ms = from_rfc3339(change.starts_at), from_rfc3339(change.ends_at)
    inside = [c for c in calls if since_ms <= c.time_ms < until_ms and _is_of(alert, c)]
    assert to_nanousd(spent) == sum(c.cost_nanousd for c in inside), (alert.rule, change)
    assert (bool(alert.drivers), bool(alert.contributors), bool(alert.driver), bool(alert.summary)) == (
        True,
    ) * 4


def _is_of(alert: Alert, one: Call) -> bool:
    return all(getattr(one, axis) == value for axis, value in alert.scope.items())
