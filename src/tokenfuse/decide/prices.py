"""Prices off the book and unknown prices."""

from __future__ import annotations

from dataclasses import fields

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.ruleset import PriceRule
from tokenfuse.decide.closed_panes import ClosedPanesJudge
from tokenfuse.detect.limit import LimitScore
from tokenfuse.detect.price import PriceSums, price
from tokenfuse.windows.narrow import Sums


class PriceJudge(ClosedPanesJudge[PriceRule]):
    """One price rule on one deltas partition."""

    @property
    def _threshold(self) -> float:
        return self.rule.share_max

    def _score(self, sums: Sums) -> LimitScore:
        return price(PriceSums(**{f.name: sums[:, INDEX[f.name]] for f in fields(PriceSums)}), self.rule)
