"""Prices off the book and unknown prices, compiled."""

from __future__ import annotations

from typing import Literal

from tokenfuse.contracts.rulekinds.base import Rule

PriceMeasure = Literal["off_book", "unpriced_calls", "unpriced_usd"]


class PriceRule(Rule, frozen=True, kw_only=True, tag="price"):
    """Producers' prices differ from the price book, or too much is counted at an estimate.

    Attributes:
        measure: off_book: how far what producers say is from the book's price of the same calls, in either direction.
            unpriced_calls, unpriced_usd: share of calls, or of cost, of which nobody knows the price.
        share_max: more than this share fires.
        window_seconds: whole panes that ended. calls_min: with fewer calls in them the rule is silent.
        floor_nanousd: a difference, or an estimate, below this within the window is nobody's page.
    """

    measure: PriceMeasure
    share_max: float
    window_seconds: int
    calls_min: int
    floor_nanousd: int
