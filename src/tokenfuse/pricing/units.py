"""Unit prices of one model as exact integers: no float touches money."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import Any, Final

from msgspec import Struct

NANO_PER_MTOK: Final = 1000
"""One dollar per million tokens is 1,000 nano-dollars per token."""

NANO_PER_KCOUNT: Final = 10**6
"""One dollar per thousand requests is 1,000,000 nano-dollars per request."""


class Band(Struct, frozen=True):
    """Unit prices above one threshold of input tokens, in 1/denominator nano-dollars per token."""

    above: int
    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    request: int


class UnitPrices(Struct, frozen=True):
    """Unit prices of one model at one time.

    Attributes:
        bands: highest threshold first; the last is the base (above -1). Crossing a threshold reprices all tokens.
        has_input, has_output: the book has a price for this side; without one the tokens there are unpriced.
    """

    denominator: int
    bands: tuple[Band, ...]
    has_input: bool
    has_output: bool

    def cost_nanousd(
        self, input_: int, output: int, cache_read: int, cache_write: int, reasoning: int
    ) -> int:
        """Price of one call, nano-dollars, rounded half-even once. Counts are tokens, subsets inside their totals."""
        bands = self.bands
        band = bands[-1]
        if len(bands) > 1:
            band = next(b for b in bands if input_ > b.above)
        total = (
            (input_ - cache_read - cache_write) * band.input
            + cache_read * band.cache_read
            + cache_write * band.cache_write
            + (output - reasoning) * band.output
            + reasoning * band.reasoning
            + band.request
        )
        return round_half_even(total, self.denominator)


def round_half_even(numerator: int, denominator: int) -> int:
    """Nearest integer of a fraction, ties to even.

    >>> [round_half_even(n, 2) for n in (1, 2, 3, 5)]
    [0, 1, 2, 2]
    """
    whole, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return whole + (twice > denominator or (twice == denominator and whole & 1))


def unit_prices(prices: Mapping[str, Any]) -> UnitPrices:
    """Unit prices from genai-prices' keys (`input_mtok`, ...): Decimals, or tiers with `base` and `tiers`.

    A subset without its own price is billed as its total is, as genai-prices does.
    """
    bands = [(above, _band(prices, above)) for above in _thresholds(prices)]
    denominator = lcm(*(price.denominator for _, band in bands for price in band))
    return UnitPrices(
        denominator,
        tuple(Band(above, *(int(price * denominator) for price in band)) for above, band in bands),
        prices.get("input_mtok") is not None,
        prices.get("output_mtok") is not None,
    )


def _thresholds(prices: Mapping[str, Any]) -> list[int]:
    starts = {tier.start for price in prices.values() for tier in getattr(price, "tiers", ())}
    return [*sorted(starts, reverse=True), -1]


def _band(prices: Mapping[str, Any], above: int) -> list[Fraction]:
    input_ = _at(prices.get("input_mtok"), above) or Fraction(0)
    output = _at(prices.get("output_mtok"), above) or Fraction(0)
    read, write, reasoning = (
        _at(prices.get(key), above)
        for key in ("cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok")
    )
    per_token = [
        input_,
        output,
        input_ if read is None else read,
        input_ if write is None else write,
        output if reasoning is None else reasoning,
    ]
    request = Fraction(prices.get("requests_kcount") or Decimal(0)) * NANO_PER_KCOUNT
    return [*(price * NANO_PER_MTOK for price in per_token), request]


def _at(price: Any, above: int) -> Fraction | None:
    """Price in force above a threshold: the highest tier that starts there or below, else the base."""
    if price is None or isinstance(price, Decimal):
        return None if price is None else Fraction(price)
    reached = [tier for tier in price.tiers if tier.start <= above]
    return Fraction(max(reached, key=lambda tier: tier.start).price if reached else price.base)
