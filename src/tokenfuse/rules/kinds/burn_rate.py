"""Burn rates: a budget that is being spent too fast to last."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tokenfuse.contracts.alert import Severity
from tokenfuse.contracts.ruleset import AnyRule, BurnRateRule
from tokenfuse.rules.kinds.base import RuleSpec, Strict, Table
from tokenfuse.rules.tables import usd_column
from tokenfuse.rules.units import Duration, Usd


class Burn(Strict):
    """One step of the ladder: how fast, seen in which windows, and who is told."""

    factor: float = Field(description="Times the planned rate, e.g. 14.4.", gt=0, le=1000)
    long: Duration = Field(description="The window in which the excess must show, e.g. 1h.", ge=60)
    short: Duration = Field(description="The window in which it must still go on, e.g. 5m.", ge=10)
    pace: Duration = Field(
        0, description="The rest of the period is forecast at the mean of so long; 0s: of the long window."
    )
    severity: Severity = Field(description="page, ticket or info.")


class BurnRateSpec(RuleSpec):
    """A budget that is spent several times faster than planned, and will not last. One rule per step: `<id>@14.4`."""

    kind: Literal["burn_rate"]
    window: Literal["day", "month"] = Field(
        description="The budget's calendar period, in the tenant's time zone."
    )
    budget_usd: Usd | None = Field(None, description="US dollars, for scopes that the table does not name.")
    budgets: Table | None = Field(None, description="US dollars per scope, from a table.")
    burns: list[Burn] = Field(description="The steps, the fastest first.", min_length=1, max_length=8)
    floor_usd: Usd = Field(
        description="An excess over the plan, in the long window, below this is nobody's page."
    )

    @model_validator(mode="after")
    def _is_a_ladder(self) -> BurnRateSpec:
        if self.budget_usd is None and self.budgets is None:
            raise ValueError("no budget: give budget_usd, a table of budgets, or both")
        factors = [burn.factor for burn in self.burns]
        if factors != sorted(set(factors), reverse=True):
            raise ValueError("burns: factors must fall, each once")
        if any(burn.short >= burn.long for burn in self.burns):
            raise ValueError("burns: short must be shorter than long")
        return self

    @property
    def wakes(self) -> bool:
        """Whether anybody is paged."""
        return any(burn.severity == "page" for burn in self.burns)

    def compiled(self, axis: str, root: Path) -> Iterator[AnyRule]:
        """One rule per step."""
        common, budgets = self.common(axis), usd_column(root, self.budgets) if self.budgets else {}
        for burn in self.burns:
            yield BurnRateRule(
                **{**common, "id": f"{common['id']}@{burn.factor:g}"},
                kind="burn_rate", driver="cost", severity=burn.severity, window=self.window,
                budget_nanousd=self.budget_usd, budgets=budgets, factor=float(burn.factor), long_seconds=burn.long,
                short_seconds=burn.short, pace_seconds=burn.pace, floor_nanousd=self.floor_usd,
            )  # fmt: skip
