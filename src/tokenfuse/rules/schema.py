"""The rule file as people write it: pydantic models, the JSON Schema for editors, and what each field means."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from tokenfuse.contracts.alert import Severity
from tokenfuse.contracts.axes import AXES, CELL_AXES, FURTHER_AXES, GLOBAL
from tokenfuse.contracts.killswitch import Action
from tokenfuse.contracts.ruleset import ROLLING, DriftSignal, Maturity, RuleMode
from tokenfuse.rules.units import Duration, Usd

BASELINE_HOURS_MAX: Final = 336
HOUR_PANES_MAX: Final = 335
DAY_PANES_MAX: Final = 30
USER_HOUR_PANES_MAX: Final = 23
"""What the windows hold besides the current pane: 336 hours and 31 days; for users 24 hours."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _known_axes(value: Any) -> Any:
    """One axis or a list of them: checked by hand, since a union tells a mistake once per member."""
    axes = value if isinstance(value, list) else [value]
    for axis in axes:
        if not isinstance(axis, str) or (axis not in _AXES and not re.fullmatch(r"labels\..+", axis)):
            raise ValueError(f"{axis!r} is no axis: one of {', '.join(_AXES)} or labels.<name>")
    if not axes or len(set(axes)) < len(axes):
        raise ValueError("give at least one axis, each once")
    return value


def _known_window(window: str) -> str:
    if window in ROLLING or window in ("day", "month"):
        return window
    raise ValueError(
        f"{window!r} is no window: day, month (calendar) or one of {', '.join(ROLLING)} (rolling)"
    )


_AXES: Final = (*AXES, GLOBAL, *FURTHER_AXES)
_AXIS_SCHEMA: Final = {"type": "string", "anyOf": [{"enum": list(_AXES)}, {"pattern": r"^labels\..+"}]}
Axes = Annotated[
    str | list[str],
    BeforeValidator(_known_axes),
    WithJsonSchema(
        {
            "anyOf": [
                _AXIS_SCHEMA,
                {"type": "array", "items": _AXIS_SCHEMA, "minItems": 1, "uniqueItems": True},
            ]
        }
    ),
]
Window = Annotated[str, AfterValidator(_known_window), WithJsonSchema({"enum": ["day", "month", *ROLLING]})]
RuleId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=64)]


class Table(_Strict):
    """A column of a CSV file beside the rules, e.g. per-tenant caps."""

    table: str = Field(
        description="Path of the CSV file, below the rules directory, e.g. tables/tenants.csv."
    )
    key: str = Field(description="Column with the scope's value, e.g. tenant.")
    column: str = Field(description="Column with the value; an empty cell means: none for this scope.")


class ResponseSpec(_Strict):
    """What a firing rule does to the gateways."""

    action: Action = Field(description="warn, downgrade, throttle or block.")
    ttl: Duration = Field(
        description="How long the kill switch stands at most; every switch expires.", gt=0, le=31 * 86_400
    )
    downgrade_to: str | None = Field(
        None, description="Model to use instead, for action downgrade.", min_length=1
    )

    @model_validator(mode="after")
    def _downgrade_has_a_model(self) -> ResponseSpec:
        if (self.action == "downgrade") != (self.downgrade_to is not None):
            raise ValueError("downgrade_to names the model for action downgrade, and for no other action")
        return self


class RuleSpec(_Strict):
    """What every rule has."""

    id: RuleId = Field(
        description="Lower-case words joined by hyphens; unique; part of every alert's fingerprint."
    )
    title: str = Field("", description="What it finds, in a few words.", max_length=200)
    maturity: Maturity = Field(
        description="stable, incubating or sandbox: how far its thresholds are proven."
    )
    axis: Axes = Field(
        description="Every scope of this axis is judged; a list makes one rule per axis, named <id>.<axis>."
    )
    match: str = Field("*", description="Shell pattern on the scope's value; * is every value.", min_length=1)
    for_: Duration = Field(0, alias="for", description="How long a breach must stand before the alert fires.")
    keep_firing_for: Duration = Field(0, description="How long the alert goes on after the breach ended.")
    mode: RuleMode = Field(
        description="shadow: switch published as shadow; warn: alert only; enforce: switch engaged."
    )
    response: ResponseSpec | None = Field(None, description="Kill switch of a firing rule.")
    runbook: str | None = Field(
        None, description="Where the steps stand that the person woken up should take."
    )

    @property
    def axes(self) -> list[str]:
        """The axes, one or many."""
        return self.axis if isinstance(self.axis, list) else [self.axis]


class _Severe(_Strict):
    severity: Severity = Field(description="page, ticket or info.")


class _Limited(RuleSpec):
    window: Window = Field(
        description="day or month (calendar, in the tenant's time zone) or a rolling length."
    )
    limit_usd: Usd | None = Field(
        None, description="US dollars, for every scope that the table does not name."
    )
    limits: Table | None = Field(None, description="US dollars per scope, from a table.")

    @model_validator(mode="after")
    def _has_a_limit(self) -> _Limited:
        if self.limit_usd is None and self.limits is None:
            raise ValueError("no limit: give limit_usd, a table of limits, or both")
        return self


class CapSpec(_Limited, _Severe):
    """Spend over a hard limit: exact, checked at every block."""

    kind: Literal["cap"]


class Notify(_Strict):
    """A share of a budget at which somebody is told."""

    share: float = Field(description="Part of the limit, e.g. 0.8.", gt=0, le=10)
    severity: Severity = Field(description="page, ticket or info.")


class BudgetSpec(_Limited):
    """Spend on its way to a limit: one alert per share. What stops the spending is a cap beside it."""

    kind: Literal["budget"]
    notify_at: list[Notify] = Field(
        description="Shares in rising order, each with its severity.", min_length=1
    )

    @model_validator(mode="after")
    def _only_tells(self) -> BudgetSpec:
        shares = [notify.share for notify in self.notify_at]
        if shares != sorted(set(shares)):
            raise ValueError("notify_at: shares must rise, each once")
        if self.response is not None or self.mode == "enforce":
            raise ValueError("a budget only tells: put response and mode enforce on a cap beside it")
        return self


class SpikeSpec(RuleSpec, _Severe):
    """A pane's spend over a multiple of the mean of the panes before it."""

    kind: Literal["spike"]
    pane: Literal["1h", "1d"] = Field(description="1h or 1d.")
    factor: float = Field(description="Times the mean.", gt=1, le=1000)
    history_panes: int = Field(description="Panes the mean is over, e.g. 168 hours.", ge=1, le=HOUR_PANES_MAX)
    history_panes_min: int = Field(description="Panes since the scope was first seen that it needs.", ge=1)
    floor_usd: Usd = Field(description="An excess below this is nobody's page.")

    @model_validator(mode="after")
    def _fits_the_windows(self) -> SpikeSpec:
        hours_max = USER_HOUR_PANES_MAX if "user" in self.axes else HOUR_PANES_MAX
        most = hours_max if self.pane == "1h" else DAY_PANES_MAX
        if self.history_panes > most:
            raise ValueError(
                f"history_panes: at most {most} panes of {self.pane} are kept for {', '.join(self.axes)}"
            )
        if self.history_panes_min > self.history_panes:
            raise ValueError("history_panes_min: at most history_panes")
        if "run_id" in self.axes:
            raise ValueError("axis run_id: a run keeps totals only and has no panes; use a cap")
        return self


class DriftSpec(RuleSpec, _Severe):
    """A per-call quantity moved away from what is normal for the same cells."""

    kind: Literal["drift"]
    signal: DriftSignal = Field(description="prompt, output (tokens), cache, retry, tier (share of calls).")
    windows: list[Duration] = Field(
        description="How far back the recent side reaches; the largest score counts.",
        min_length=1,
        max_length=8,
    )
    z_min: float = Field(description="Score in standard deviations.", gt=0, le=100)
    effect_min: float = Field(
        description="Relative change (prompt, output) or change of share (others).", gt=0, le=100
    )
    baseline: Duration = Field(description="How far back the baseline reaches, in whole hours.")
    baseline_hours_min: int = Field(
        description="Hours with traffic that a cell needs before it is judged.", ge=1
    )
    calls_min: int = Field(description="Calls in the window below which the rule is silent.", ge=1)
    floor_usd_per_day: Usd = Field(description="An excess below this is nobody's page.")
    evaluation_interval: Duration = Field(description="Every so often of event time, 10s to 60s.")

    @model_validator(mode="after")
    def _fits_the_windows(self) -> DriftSpec:
        if self.baseline % 3600 or not 3600 <= self.baseline <= BASELINE_HOURS_MAX * 3600:
            raise ValueError(f"baseline: whole hours from 1h to {BASELINE_HOURS_MAX}h")
        if any(w < 60 or w > 86_400 or w % 10 for w in self.windows) or self.windows != sorted(
            set(self.windows)
        ):
            raise ValueError("windows: rising, each once, from 60s to 24h, whole multiples of 10s")
        if not 10 <= self.evaluation_interval <= 60:
            raise ValueError("evaluation_interval: from 10s to 60s")
        if self.baseline_hours_min > self.baseline // 3600:
            raise ValueError("baseline_hours_min: at most the hours of the baseline")
        return self

    @model_validator(mode="after")
    def _has_cells(self) -> DriftSpec:
        for axis in self.axes:
            if axis not in CELL_AXES:
                raise ValueError(
                    f"axis {axis}: drift compares cells, so the axis is one of {', '.join(CELL_AXES)}"
                )
        if self.signal == "tier" and "model" in self.axes:
            raise ValueError(
                "axis model: tier mix moves between models; use tenant, feature or prompt_template"
            )
        return self


AnySpec = Annotated[CapSpec | BudgetSpec | SpikeSpec | DriftSpec, Field(discriminator="kind")]


class SettingsSpec(_Strict):
    """What holds for all rules; in one file only."""

    default_time_zone: str = Field(
        "UTC", description="IANA zone of calendar windows where no tenant's zone applies."
    )
    time_zones: Table | None = Field(None, description="IANA zone per tenant, from a table.")
    switches_max: int = Field(
        100, description="Most kill switches engaged at once; more are refused, visibly.", ge=0, le=10_000
    )


class RuleFile(_Strict):
    """One file of rules/*.yaml."""

    settings: SettingsSpec | None = Field(None, description="What holds for all rules; in one file only.")
    rules: list[AnySpec] = Field([], description="The rules, in the order in which they are shown.")


def json_schema() -> dict[str, Any]:
    """JSON Schema of a rule file, for editors (`# yaml-language-server: $schema=...`)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "TokenFuse rule file v1",
        **{key: value for key, value in RuleFile.model_json_schema().items() if key != "title"},
    }
