"""What every compiled rule has, whatever its kind."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tokenfuse.contracts.alert import Driver, Kind, Severity
from tokenfuse.contracts.killswitch import Action

Maturity = Literal["stable", "incubating", "sandbox"]
RuleMode = Literal["shadow", "warn", "enforce"]


class Response(Struct, frozen=True, kw_only=True):
    """What a firing rule does to the gateways. In mode `shadow` the switch is published as shadow; in `warn` none is."""

    action: Action
    ttl_seconds: int
    downgrade_to: str | None = None


class Rule(Struct, frozen=True, kw_only=True):
    """What every rule has.

    Attributes:
        axis: the rule applies to every scope of this axis (a name of AXES, a further axis, or `global`).
        match: shell pattern on the scope's value; `*` is every value.
        for_seconds: how long a breach must stand before the alert fires.
        keep_firing_for_seconds: how long it goes on firing after the breach ended.
    """

    id: str
    kind: Kind
    driver: Driver
    maturity: Maturity
    axis: str
    match: str = "*"
    for_seconds: int = 0
    keep_firing_for_seconds: int = 0
    severity: Severity
    mode: RuleMode
    response: Response | None = None
    runbook: str | None = None
    title: str = ""
