"""Prices off the book and unknown prices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tokenfuse.contracts.ruleset import AnyRule, PriceMeasure, PriceRule
from tokenfuse.rules.kinds.base import SevereSpec, check_kept
from tokenfuse.rules.units import Duration, Usd


class PriceSpec(SevereSpec):
    """Producers' prices differ from the price book, or too much is counted at an estimate."""

    judges_cells: ClassVar[bool] = True

    kind: Literal["price"]
    measure: PriceMeasure = Field(
        description="off_book (producers' prices against the price book's, in either direction), unpriced_calls or"
        " unpriced_usd (share whose price nobody knows)."
    )
    share_max: float = Field(description="More than this share fires, e.g. 0.02.", gt=0, lt=100)
    window: Duration = Field(description="How far back calls are counted, e.g. 1h.", ge=60)
    calls_min: int = Field(description="With fewer calls in the window the rule is silent.", ge=1)
    floor_usd: Usd = Field(
        description="A difference, or an estimate, below this in the window is nobody's page."
    )

    @model_validator(mode="after")
    def _fits(self) -> PriceSpec:
        if "run_id" in self.axes:
            raise ValueError("axis run_id: a price is not a run's; use model, tenant or feature")
        if self.measure != "off_book" and self.share_max >= 1:
            raise ValueError("share_max: below 1 for a share of calls or dollars")
        check_kept(self.axes, self.window)
        return self

    def compiled(self, axis: str, root: Path) -> Iterator[AnyRule]:  # noqa: ARG002 - reads no table
        """One rule."""
        yield PriceRule(
            **self.common(axis), kind="price", driver="price", severity=self.severity, measure=self.measure,
            share_max=float(self.share_max), window_seconds=self.window, calls_min=self.calls_min,
            floor_nanousd=self.floor_usd,
        )  # fmt: skip
