"""Prices against the book, and shares of estimates: what fires, and what the excess is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tokenfuse.contracts.ruleset import PriceRule
from tokenfuse.detect.limit import LimitScore
from tokenfuse.detect.price import PriceSums, price


def score(measure: str, **sums: int) -> LimitScore:
    fields: dict[str, Any] = {
        "id": "p", "kind": "price", "driver": "price", "maturity": "stable", "axis": "model", "severity": "ticket",
        "mode": "warn", "measure": measure, "share_max": 0.02, "window_seconds": 3600, "calls_min": 5,
        "floor_nanousd": 10,
    }  # fmt: skip
    names = ("calls", "cost_nanousd", "unpriced", "unpriced_nanousd", "off_book_nanousd")
    return price(PriceSums(**{name: np.array([sums.get(name, 0)]) for name in names}), PriceRule(**fields))


@pytest.mark.parametrize(
    ("sums", "fires", "value", "excess"),
    [
        ({"calls": 5, "cost_nanousd": 1030, "off_book_nanousd": 30}, True, 0.03, 30),
        ({"calls": 4, "cost_nanousd": 1030, "off_book_nanousd": 30}, False, 0.03, 30),
        ({"calls": 5, "cost_nanousd": 1020, "off_book_nanousd": 20}, False, 0.02, 20),
        ({"calls": 5, "cost_nanousd": 970, "off_book_nanousd": -30}, True, -0.03, 0),
        ({"calls": 5, "cost_nanousd": 109, "off_book_nanousd": 9}, False, 0.09, 9),
        (
            {"calls": 5, "cost_nanousd": 2030, "unpriced_nanousd": 1000, "off_book_nanousd": 30},
            True,
            0.03,
            30,
        ),
        (
            {"calls": 5, "cost_nanousd": 1000, "unpriced_nanousd": 1000, "off_book_nanousd": 30},
            False,
            0.0,
            30,
        ),
    ],
)
def test_off_the_book_is_told_above_and_below_over_what_the_book_prices(
    sums: dict[str, int], fires: bool, value: float, excess: int
) -> None:
    found = score("off_book", **sums)
    assert (found.fires[0], found.value[0], found.excess_nanousd[0]) == (fires, pytest.approx(value), excess)


def test_unpriced_calls_and_unpriced_dollars_are_two_shares_without_an_excess() -> None:
    sums = {"calls": 100, "cost_nanousd": 1000, "unpriced": 3, "unpriced_nanousd": 15}
    by_calls, by_usd = score("unpriced_calls", **sums), score("unpriced_usd", **sums)
    assert (by_calls.fires[0], by_calls.value[0], by_calls.excess_nanousd[0]) == (True, 0.03, 0)
    assert (by_usd.fires[0], by_usd.value[0]) == (False, 0.015)
    assert not score("unpriced_calls", **(sums | {"unpriced_nanousd": 9})).fires[0]


def test_a_scope_without_calls_is_silent() -> None:
    assert not any(score(measure).fires[0] for measure in ("off_book", "unpriced_calls", "unpriced_usd"))
