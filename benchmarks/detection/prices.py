"""What calls cost: the project's own price book, over columns, to the nano-dollar."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from benchmarks.detection.calls import Calls
from benchmarks.detection.clock import START_MS
from benchmarks.detection.company import MODELS

from tokenfuse.contracts.event import CostEvent
from tokenfuse.pricing.book import PriceBook
from tokenfuse.pricing.units import UnitPrices

Costs = npt.NDArray[np.int64]


def price(calls: Calls) -> Costs:
    """List price of each call, nano-dollars, int64[n]. The incidents' price changes come on top."""
    costs = np.zeros(len(calls), np.int64)
    for model in range(len(MODELS)):
        mine = np.flatnonzero(calls["model"] == model)
        costs[mine] = _of_model(calls[mine], _units(model))
    return costs


@cache
def _units(model: int) -> UnitPrices:
    event = CostEvent(
        id="1", time=0, tenant="t", feature="f", model=MODELS[model], input_tokens=1, output_tokens=1
    )
    prices = PriceBook().entry(event, START_MS).prices
    if prices is None:
        raise LookupError(f"the price book has no price for {MODELS[model]}")
    return prices


def _of_model(calls: Calls, units: UnitPrices) -> Costs:
    tokens = {name: calls[name].astype(np.int64) for name in ("input", "output", "cached", "reasoning")}
    total = np.zeros(len(calls), np.int64)
    for band in reversed(units.bands):  # the base first: higher thresholds reprice all tokens
        at = (
            (tokens["input"] - tokens["cached"]) * band.input
            + tokens["cached"] * band.cache_read
            + (tokens["output"] - tokens["reasoning"]) * band.output
            + tokens["reasoning"] * band.reasoning
            + band.request
        )
        total = np.where(tokens["input"] > band.above, at, total)
    return half_even(total, units.denominator)


def half_even(numerator: Costs, denominator: int) -> Costs:
    """Nearest integer of fractions, ties to even.

    >>> half_even(np.array([1, 2, 3, 5]), 2)
    array([0, 1, 2, 2])
    """
    whole, rest = np.divmod(numerator, denominator)
    up = (2 * rest > denominator) | ((2 * rest == denominator) & (whole % 2 == 1))
    result: Costs = whole + up
    return result
