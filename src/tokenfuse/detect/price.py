"""Prices: what producers say against the price book, and how much is counted at an estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenfuse.contracts.ruleset import PriceRule
from tokenfuse.detect.arrays import IntArray
from tokenfuse.detect.limit import LimitScore, quotient


@dataclass(frozen=True, slots=True)
class PriceSums:
    """Sums of n scopes over one window, int64[n] each, named as in contracts.measures."""

    calls: IntArray
    cost_nanousd: IntArray
    unpriced: IntArray
    unpriced_nanousd: IntArray
    off_book_nanousd: IntArray


def price(sums: PriceSums, rule: PriceRule) -> LimitScore:
    """Compares one share with the rule's.

    Off the book: the difference over what the book says of all calls that are not estimates; negative below the book.
    Calls that we priced ourselves are in it with a difference of 0, so that a few odd calls do not make a scope odd.
    """
    excess = np.zeros_like(sums.calls)
    if rule.measure == "off_book":
        money = sums.off_book_nanousd
        value = quotient(money, sums.cost_nanousd - sums.unpriced_nanousd - money)
        excess = np.maximum(money, 0)
    elif rule.measure == "unpriced_usd":
        money = sums.unpriced_nanousd
        value = quotient(money, sums.cost_nanousd)
    else:
        money = sums.unpriced_nanousd
        value = quotient(sums.unpriced, sums.calls)
    fires = (np.abs(value) > rule.share_max) & (sums.calls >= rule.calls_min)
    return LimitScore(fires & (np.abs(money) >= rule.floor_nanousd), value, excess)
