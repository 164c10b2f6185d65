"""Caps, which stop, and budgets, which tell."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tokenfuse.contracts.alert import Severity
from tokenfuse.contracts.ruleset import AnyRule, CapRule
from tokenfuse.rules.kinds.base import RuleSpec, SevereSpec, Strict, Table, Window
from tokenfuse.rules.tables import usd_column
from tokenfuse.rules.units import Usd


class _Limited(RuleSpec):
    """Spend in a window against a limit."""

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

    def limits_of(self, root: Path) -> dict[str, int]:
        """Nano-dollars per scope, from the table."""
        return usd_column(root, self.limits) if self.limits else {}


class CapSpec(_Limited, SevereSpec):
    """Spend over a hard limit: exact, checked at every block."""

    kind: Literal["cap"]

    def compiled(self, axis: str, root: Path) -> Iterator[AnyRule]:
        """One rule."""
        yield CapRule(
            **self.common(axis), kind="cap", driver="cost", severity=self.severity, window=self.window,
            limit_nanousd=self.limit_usd, limits=self.limits_of(root),
        )  # fmt: skip


class Notify(Strict):
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

    @property
    def wakes(self) -> bool:
        """Whether anybody is paged."""
        return any(notify.severity == "page" for notify in self.notify_at)

    def compiled(self, axis: str, root: Path) -> Iterator[AnyRule]:
        """One cap that only tells per share: `<id>@50`, `<id>@80`, `<id>@100`."""
        common, limits = self.common(axis), self.limits_of(root)
        for notify in self.notify_at:
            share = Fraction(str(notify.share))
            yield CapRule(
                **{**common, "id": f"{common['id']}@{_percent(share)}"},
                kind="cap", driver="cost", severity=notify.severity, window=self.window,
                limit_nanousd=None if self.limit_usd is None else round(self.limit_usd * share),
                limits={scope: round(limit * share) for scope, limit in limits.items()},
                resolution="warn" if share < 1 else "final",
            )  # fmt: skip


def _percent(share: Fraction) -> str:
    """`50`, `99.5`: a share in percent without a trailing zero."""
    percent = Decimal(share.numerator) * 100 / Decimal(share.denominator)
    return f"{percent.normalize():f}"
