"""Prices off the book and unknown prices."""

from __future__ import annotations

from dataclasses import fields

from tokenfuse.contracts.ruleset import PriceRule
from tokenfuse.decide.closed_panes import ClosedPanesJudge
from tokenfuse.detect.limit import LimitScore
from tokenfuse.detect.price import PriceSums, price
from tokenfuse.windows.pane import Ids


class PriceJudge(ClosedPanesJudge[PriceRule]):
    """One price rule on one deltas partition."""

    @property
    def _threshold(self) -> float:
        return self.rule.share_max

    def _score(self, ids: Ids, starts_s: list[int]) -> LimitScore:
        sums = PriceSums(**{f.name: self._sum(f.name, ids, starts_s) for f in fields(PriceSums)})
        return price(sums, self.rule)
