"""Prices off the book and unknown prices."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import PriceMeasure, PriceRule
from tokenfuse.decide.closed_panes import ClosedPanesJudge
from tokenfuse.detect.limit import LimitScore
from tokenfuse.detect.price import PriceSums, price
from tokenfuse.windows.narrow import Sums

NEEDS: Final[dict[PriceMeasure, str]] = {
    "off_book": "off_book_nanousd", "unpriced_calls": "unpriced", "unpriced_usd": "unpriced_nanousd",
}  # fmt: skip


class PriceJudge(ClosedPanesJudge[PriceRule]):
    """One price rule on one deltas partition."""

    @property
    def _needs(self) -> int:
        return INDEX[NEEDS[self.rule.measure]]

    @property
    def _threshold(self) -> float:
        return self.rule.share_max

    def _score(self, sums: Sums) -> LimitScore:
        return price(PriceSums(**{f.name: sums[:, INDEX[f.name]] for f in fields(PriceSums)}), self.rule)
