"""Alerts on `tokenfuse.alerts`: every transition of one alert's lifecycle, keyed by fingerprint (DESIGN section 12)."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

AlertState = Literal["pending", "firing", "resolved"]
Severity = Literal["page", "ticket", "info"]
Kind = Literal[
    "cap", "burn_rate", "burst", "spike", "drift", "agent", "price", "prompt_budget", "absence", "novelty",
]  # fmt: skip
Driver = Literal[
    "volume", "prompt", "output", "cache", "retry", "tier", "price", "loop", "context", "tools", "reasoning",
    "latency", "cost",
]  # fmt: skip
SwitchRefusal = Literal["switches_max", "released_by_person", "window_over"]
HeldReason = Literal["planned_change", "expected", "false_alarm"]


class CostChange(Struct, frozen=True, kw_only=True):
    """What the scope spent in a window, and what it usually spends in as long a time.

    Attributes:
        starts_at, ends_at: the window that was compared, event time; calls later than the alert's `at` are not in it.
        usual_usd: 0 for a scope without a past; of an agent run what it would have cost at its limit.
    """

    starts_at: str
    ends_at: str
    spent_usd: str
    usual_usd: str


class DriverUsd(Struct, frozen=True, kw_only=True):
    """One part of the change of cost; the parts add up to `spent_usd` less `usual_usd` of the cost change."""

    driver: str
    usd: str


class ContributorUsd(Struct, frozen=True, kw_only=True):
    """An axis value and its part of the excess."""

    axis: str
    value: str
    usd: str
    share: float


class Enforcement(Struct, frozen=True, kw_only=True):
    """What was done about it: the switch that the alert engaged."""

    action: str
    mode: str
    expires_at: str
    generation: int


class Forecast(Struct, frozen=True, kw_only=True):
    """What a budget's month will come to, and between what it lies four times of five."""

    usd: str
    low_usd: str
    high_usd: str
    ends_at: str


class Held(Struct, frozen=True, kw_only=True):
    """Why an alert does not fire although its rule is over its threshold: what a person said.

    Attributes:
        change: id of the planned change.
    """

    reason: HeldReason
    by: str
    until: str
    change: str | None = None


class Alert(Struct, frozen=True, kw_only=True):
    """One transition. `seq` is the offset of the decider's input log: readers drop what is not newer.

    Attributes:
        starts_at: event time at which the breach began. at: event time of this transition.
        value, threshold: in `unit` (usd, usd_per_hour, ratio, tokens, share ...).
        excess_usd: dollars above normal since starts_at.
        summary: one sentence a tired person understands.
        inhibited_by: fingerprint of the alert that explains this one; notifiers skip it.
        silenced_until: a person asked not to be told before then; notifiers skip it.
        switch_refused: why a rule that acts has no switch engaged.
        exhausted_at: when the budget will be gone at the present pace (burn_rate).
        held: it stays pending, since a person said that this is expected.
        bar_factor: false alarms have raised the rule's threshold on this scope so many times.
        cost_change: what `drivers` add up to, to the nano-dollar.
    """

    fingerprint: str
    seq: int
    rule: str
    kind: Kind
    driver: Driver
    scope: dict[str, str]
    state: AlertState
    starts_at: str
    at: str
    severity: Severity
    value: float
    threshold: float
    unit: str
    excess_usd: str
    excess_usd_per_hour: str
    summary: str
    drivers: tuple[DriverUsd, ...] = ()
    contributors: tuple[ContributorUsd, ...] = ()
    examples: tuple[str, ...] = ()
    runbook: str | None = None
    action: str | None = None
    enforcement: Enforcement | None = None
    inhibited_by: str | None = None
    acked_by: str | None = None
    silenced_until: str | None = None
    switch_refused: SwitchRefusal | None = None
    exhausted_at: str | None = None
    held: Held | None = None
    bar_factor: float | None = None
    forecast: Forecast | None = None
    cost_change: CostChange | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Alert)


def encode_alert(alert: Alert) -> bytes:
    """Value of one message on `tokenfuse.alerts`."""
    return _encoder.encode(alert)


def decode_alert(data: bytes) -> Alert:
    """Inverse of `encode_alert`.

    Raises:
        msgspec.DecodeError: not an alert.
    """
    return _decoder.decode(data)
