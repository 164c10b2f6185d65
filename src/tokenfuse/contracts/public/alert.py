"""An alert on `tokenfuse.alerts`, for those who read the topic."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from tokenfuse.contracts.alert import AlertState, Driver, HeldReason, Kind, Severity, SwitchRefusal
from tokenfuse.contracts.public.base import Number, PublicModel, Time, UsdText


class CostChange(PublicModel):
    """What the scope spent in a window, and what it usually spends in as long a time."""

    starts_at: Time
    """Event time at which the window begins."""
    ends_at: Time
    """Event time at which it ends."""
    spent_usd: UsdText
    """US dollars that the scope's calls cost in the window."""
    usual_usd: UsdText
    """US dollars that it usually spends in as long a time: of the last week, for learned rules of two weeks. 0 for a
    scope without a past; of an agent run what it would have cost at its limit."""


class DriverUsd(PublicModel):
    """One part of the change of cost; the parts add up to `spent_usd` less `usual_usd` of the cost change."""

    driver: str
    """What drove the cost: a value of the alert's `driver`."""
    usd: UsdText
    """US dollars of the change; negative where it lowered the cost."""


class ContributorUsd(PublicModel):
    """An axis value and its part of the excess."""

    axis: str
    """Field of CostEvent."""
    value: str
    """Value of that field."""
    usd: UsdText
    """US dollars of the excess."""
    share: Annotated[Number, Field(allow_inf_nan=False)]
    """Share of the scope's excess, 0 to 1."""


class Enforcement(PublicModel):
    """What was done about it: the kill switch that the alert engaged."""

    action: str
    """`warn`, `downgrade`, `throttle` or `block`."""
    mode: str
    """`shadow` or `enforce`."""
    expires_at: Time
    """After this the switch is void."""
    generation: int
    """Generation of the switch."""


class Forecast(PublicModel):
    """What a budget's month will come to, and between what it lies four times of five."""

    usd: UsdText
    """US dollars at the end of the month."""
    low_usd: UsdText
    """Lower end of the range."""
    high_usd: UsdText
    """Upper end of the range."""
    ends_at: Time
    """End of the month in the scope's time zone."""


class Held(PublicModel):
    """Why an alert does not fire although its rule is over its threshold: what a person said."""

    reason: HeldReason
    """A change was announced, this level was called expected, or it was called a false alarm."""
    by: str
    """Who said so."""
    until: Time
    """After this it is forgotten."""
    change: str | None = None
    """Id of the planned change."""


class Alert(PublicModel):
    """One transition of one alert. Key: `fingerprint`; readers drop what has no higher `seq` than they have seen."""

    model_config = ConfigDict(title="Alert")
    schema_id: ClassVar[str] = "urn:tokenfuse:schema:alert:v1"

    fingerprint: str
    """Identity of the alert: 16 hex digits over rule and scope."""
    seq: int
    """Position in the decider's input log; grows with every transition."""
    rule: str
    """Id of the rule."""
    kind: Kind
    """What was found."""
    driver: Driver
    """What drove the cost most."""
    scope: dict[str, str]
    """Axis to value; {} is everything."""
    state: AlertState
    """Where the alert stands after this transition."""
    starts_at: Time
    """Event time at which the breach began."""
    at: Time
    """Event time of this transition."""
    severity: Severity
    """`page` wakes a person."""
    value: Number
    """What was measured, in `unit`."""
    threshold: Number
    """What was allowed, in `unit`."""
    unit: str
    """usd, usd_per_hour, ratio, tokens, share, ..."""
    excess_usd: UsdText
    """US dollars above normal since `starts_at`."""
    excess_usd_per_hour: UsdText
    """US dollars above normal per hour, now."""
    summary: str
    """One sentence."""
    drivers: tuple[DriverUsd, ...] = Field((), strict=False)
    """Why, in dollars."""
    contributors: tuple[ContributorUsd, ...] = Field((), strict=False)
    """Who, in dollars."""
    examples: tuple[str, ...] = Field((), strict=False)
    """Ids of the dearest calls."""
    runbook: str | None = None
    """What to do: a link or a path."""
    action: str | None = None
    """What the rule asks of the gateways."""
    enforcement: Enforcement | None = None
    """The kill switch that was engaged."""
    inhibited_by: str | None = None
    """Fingerprint of the alert that explains this one; such an alert notifies nobody."""
    acked_by: str | None = None
    """Who acknowledged it."""
    silenced_until: Time | None = None
    """A person asked not to be told before then."""
    switch_refused: SwitchRefusal | None = None
    """Why a rule that acts has no switch engaged."""
    exhausted_at: Time | None = None
    """When the budget will be gone at the present pace, for kind `burn_rate`."""
    held: Held | None = None
    """Set while it is held back: such an alert stays pending and notifies nobody."""
    bar_factor: Number | None = None
    """How many times its threshold false alarms have raised the bar to on this scope."""
    forecast: Forecast | None = None
    """Of rules on a calendar month, where enough days are known."""
    cost_change: CostChange | None = None
    """The change that `drivers` add up to, to the nano-dollar."""
