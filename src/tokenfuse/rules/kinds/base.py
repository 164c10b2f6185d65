"""What every rule of a file has, whatever its kind."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

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
from tokenfuse.contracts.axes import AXES, CELL_AXES, FURTHER_AXES, GLOBAL, JOINT
from tokenfuse.contracts.killswitch import Action
from tokenfuse.contracts.ruleset import ROLLING, AnyRule, Maturity, Response, RuleMode
from tokenfuse.rules.units import Duration
from tokenfuse.windows.granularity import finest_for, kind_of

BASELINE_HOURS_MAX: Final = 336
HOUR_PANES_MAX: Final = 335
DAY_PANES_MAX: Final = 30
USER_HOUR_PANES_MAX: Final = 23
"""What the windows hold besides the current pane: 336 hours and 31 days; for users 24 hours."""


class Strict(BaseModel):
    """What people write is taken as written: no unknown field, no text for a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _known_axes(value: Any) -> Any:
    """One axis or a list of them: checked by hand, since a union tells a mistake once per member."""
    axes = value if isinstance(value, list) else [value]
    for axis in axes:
        if not isinstance(axis, str) or not (
            axis in _AXES or axis in JOINT_AXES or re.fullmatch(r"labels\..+", axis)
        ):
            raise ValueError(f"{axis!r} is no axis: one of {', '.join(_AXES)} or labels.<name>")
    if not axes or len(set(axes)) < len(axes):
        raise ValueError("give at least one axis, each once")
    return value


def check_kept(axes: list[str], window_seconds: int) -> None:
    """Whether panes are kept that reach so far back.

    Raises:
        ValueError: they are not, or the window is no whole number of them.
    """
    for axis in axes:
        try:
            finest_for(kind_of(axis), window_seconds)
        except ValueError:
            raise ValueError(
                f"window: axis {axis} keeps no panes that cover {window_seconds} s: use a shorter one, or whole hours"
            ) from None


def _known_window(window: str) -> str:
    if window in ROLLING or window in ("day", "month"):
        return window
    raise ValueError(
        f"{window!r} is no window: day, month (calendar) or one of {', '.join(ROLLING)} (rolling)"
    )


_AXES: Final = (*AXES, GLOBAL, *FURTHER_AXES)
JOINT_AXES: Final = tuple(
    JOINT.join(axes) for size in range(2, len(CELL_AXES) + 1) for axes in combinations(CELL_AXES, size)
)
"""`tenant+feature` and the like: every combination of cell axes, in their order."""

_AXIS_SCHEMA: Final = {
    "type": "string",
    "anyOf": [{"enum": [*_AXES, *JOINT_AXES]}, {"pattern": r"^labels\..+"}],
}
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


class Table(Strict):
    """A column of a CSV file beside the rules, e.g. per-tenant caps."""

    table: str = Field(
        description="Path of the CSV file, below the rules directory, e.g. tables/tenants.csv."
    )
    key: str = Field(description="Column with the scope's value, e.g. tenant.")
    column: str = Field(description="Column with the value; an empty cell means: none for this scope.")


class ResponseSpec(Strict):
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


class RuleSpec(Strict):
    """What every rule has."""

    judges_cells: ClassVar[bool] = False

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

    @model_validator(mode="after")
    def _has_tables(self) -> RuleSpec:
        if not self.judges_cells and any(axis in JOINT_AXES for axis in self.axes):
            raise ValueError(
                "a joint axis is summed from cells, which only drift, volume, price and prompt budget rules judge: name one axis"
            )
        return self

    @property
    def axes(self) -> list[str]:
        """The axes, one or many."""
        return self.axis if isinstance(self.axis, list) else [self.axis]

    @property
    def wakes(self) -> bool:
        """Whether anybody is paged."""
        return False

    @abstractmethod
    def compiled(self, axis: str, root: Path) -> Iterator[AnyRule]:
        """The rules that this one stands for on one of its axes; tables are read below root.

        Raises:
            RuleFileError: from a table.
        """

    def common(self, axis: str) -> dict[str, Any]:
        """Fields that every compiled rule has, but its kind, driver and severity."""
        response = self.response
        return {
            "id": f"{self.id}.{axis}" if isinstance(self.axis, list) else self.id,
            "maturity": self.maturity,
            "axis": axis,
            "match": self.match,
            "for_seconds": self.for_,
            "keep_firing_for_seconds": self.keep_firing_for,
            "mode": self.mode,
            "response": response
            and Response(
                action=response.action, ttl_seconds=response.ttl, downgrade_to=response.downgrade_to
            ),
            "runbook": self.runbook,
            "title": self.title,
        }


class SevereSpec(RuleSpec):
    """A rule with one severity."""

    severity: Severity = Field(description="page, ticket or info.")

    @property
    def wakes(self) -> bool:
        """Whether anybody is paged."""
        return self.severity == "page"
