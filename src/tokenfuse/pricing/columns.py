"""The price book for many calls at once: every figure as `PriceBook.cost` gives it, in whole arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenfuse.pricing.book import Entry
from tokenfuse.pricing.units import UnitPrices

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

EXACT_BELOW: Final = 2**62
"""A product that could reach this is left to Python's integers."""


class Tokens(NamedTuple):
    """What is billed of n calls: int64[n] each; the subsets lie inside their totals."""

    input: Ints
    output: Ints
    cache_read: Ints
    cache_write: Ints
    reasoning: Ints

    def take(self, index: Ints) -> Tokens:
        """Of these calls."""
        return Tokens(*(column.take(index) for column in self))


def cost_columns(
    tokens: Tokens, free: Bools, entries: Sequence[Entry], entry: Ints, fallback: UnitPrices
) -> tuple[Ints, Bools]:
    """What calls cost whose producers did not say.

    Args:
        tokens: of n calls.
        free: bool[n], calls that cost nothing whatever their tokens: answered from a response cache.
        entries: k entries of the book; entry: int64[n], the one of each call.
        fallback: prices where the book knows none.

    Returns:
        int64[n] nano-dollars, at most EXACT_BELOW, and bool[n]: an estimate, because the price is unknown.
    """
    has_input = np.array([e.prices is not None and e.prices.has_input for e in entries], bool)
    has_output = np.array([e.prices is not None and e.prices.has_output for e in entries], bool)
    unknown = np.array([e.prices is None for e in entries], bool)
    unpriced = unknown[entry]
    unpriced |= (tokens.input > 0) & ~has_input[entry]
    unpriced |= (tokens.output > 0) & ~has_output[entry]
    prices: dict[UnitPrices, int] = {fallback: 0}
    place = np.array([prices.setdefault(e.prices or fallback, len(prices)) for e in entries], np.int64)
    chosen = np.where(unpriced, 0, place[entry])
    cost = np.zeros(len(entry), np.int64)
    for number, unit in enumerate(prices):
        index = np.flatnonzero((chosen == number) & ~free)
        if len(index):
            cost[index] = nanousd(unit, tokens.take(index))
    return cost, unpriced & ~free


def nanousd(prices: UnitPrices, tokens: Tokens) -> Ints:
    """`UnitPrices.cost_nanousd` of many calls, rounded half to even once."""
    most = int(max(tokens.input.max(), tokens.output.max()))
    dearest = max(sum(map(abs, _amounts(prices, number))) for number in range(len(prices.bands)))
    if most * dearest + dearest >= EXACT_BELOW:
        rows = zip(*(column.tolist() for column in tokens), strict=True)
        return np.array([min(prices.cost_nanousd(*row), EXACT_BELOW) for row in rows], np.int64)
    band = np.zeros(len(tokens.input), np.int64)
    for lower in prices.bands[:-1]:
        band += tokens.input <= lower.above
    table = np.array([_amounts(prices, number) for number in range(len(prices.bands))], np.int64)
    input_, output, cache_read, cache_write, reasoning, request = table.T[:, band]
    total = (
        (tokens.input - tokens.cache_read - tokens.cache_write) * input_
        + tokens.cache_read * cache_read
        + tokens.cache_write * cache_write
        + (tokens.output - tokens.reasoning) * output
        + tokens.reasoning * reasoning
        + request
    )
    whole, rest = np.divmod(total, prices.denominator)
    twice = 2 * rest
    cost: Ints = whole + ((twice > prices.denominator) | ((twice == prices.denominator) & (whole % 2 == 1)))
    return cost


def _amounts(prices: UnitPrices, number: int) -> tuple[int, ...]:
    band = prices.bands[number]
    return band.input, band.output, band.cache_read, band.cache_write, band.reasoning, band.request
