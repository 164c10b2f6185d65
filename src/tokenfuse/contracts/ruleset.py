"""A compiled rule set: what `rules/*.yaml` and its tables become, and what travels in control blocks.

Files are validated by `tokenfuse.rules` (pydantic, path:line errors); this is the result, complete and without
references to files, so that every worker and every replay that sees it at one point of the log acts alike.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from tokenfuse.contracts.alert import Driver, Kind, Severity
from tokenfuse.contracts.killswitch import Action

Maturity = Literal["stable", "incubating", "sandbox"]
RuleMode = Literal["shadow", "warn", "enforce"]
DriftSignal = Literal["prompt", "output", "cache", "retry", "tier"]


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


class CapRule(Rule, frozen=True, kw_only=True, tag="cap"):
    """Spend over a hard limit. Checked at every block, on open panes: money only grows.

    Attributes:
        window: a rolling length (`1m`, `1h`, `30d`: one of ROLLING), or calendar `day` or `month` in the time
            zone of the scope's tenant (of the rule set for other axes).
        limit_nanousd: for scopes not in `limits`; None: those have no limit.
        limits: scope value to limit, from a rule table.
    """

    window: str
    limit_nanousd: int | None = None
    limits: dict[str, int] = {}
    resolution: Literal["warn", "final"] = "final"  # warn: a budget threshold below 100 %


class SpikeRule(Rule, frozen=True, kw_only=True, tag="spike"):
    """A pane's spend over `factor` times the mean of the panes before it.

    Attributes:
        pane: `1h` or `1d`. history_panes: how many panes the mean is over. history_panes_min: below this many
            panes since the scope was first seen the rule is silent.
        floor_nanousd: excess below this is nobody's page.
    """

    pane: Literal["1h", "1d"]
    factor: float
    history_panes: int
    history_panes_min: int
    floor_nanousd: int


class DriftRule(Rule, frozen=True, kw_only=True, tag="drift"):
    """A per-call quantity moved away from the scope's own learned baseline, mix-adjusted over its cells.

    Attributes:
        signal: prompt (log input tokens), output, cache (share of calls with cache reads), retry (share), tier
            (share answered by frontier or reasoning models).
        windows_seconds: how far back the recent side reaches; the largest score counts.
        z_min: score in standard deviations. effect_min: relative (prompt, output) or absolute (shares) change.
        baseline_hours: how far back the baseline reaches. baseline_hours_min: hours with traffic it needs.
        calls_min: calls in the recent window below which the rule is silent.
        floor_nanousd_per_day: excess below this is nobody's page.
        evaluation_interval_seconds: every so often of event time.
    """

    signal: DriftSignal
    windows_seconds: tuple[int, ...]
    z_min: float
    effect_min: float
    baseline_hours: int
    baseline_hours_min: int
    calls_min: int
    floor_nanousd_per_day: int
    evaluation_interval_seconds: int


AnyRule = CapRule | SpikeRule | DriftRule

ROLLING: dict[str, int] = {
    "1m": 60, "5m": 300, "10m": 600, "30m": 1800, "1h": 3600,
    "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000,
}  # fmt: skip


class RuleSet(Struct, frozen=True, kw_only=True):
    """Everything in force at one point of the log.

    Attributes:
        id: hash of the content: the same files give the same id.
        time_zones: tenant to IANA zone.
        switches_max: most switches the decider keeps engaged at once (blast radius); more are refused, visibly.
    """

    id: str
    rules: tuple[AnyRule, ...]
    default_time_zone: str = "UTC"
    time_zones: dict[str, str] = {}
    switches_max: int = 100


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(RuleSet)


def encode_ruleset(ruleset: RuleSet) -> bytes:
    """Canonical JSON: the same rule set gives the same bytes."""
    return _encoder.encode(ruleset)


def decode_ruleset(data: bytes) -> RuleSet:
    """Inverse of `encode_ruleset`.

    Raises:
        msgspec.DecodeError: not a rule set of this release.
    """
    return _decoder.decode(data)
