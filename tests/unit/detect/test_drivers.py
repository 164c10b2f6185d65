"""The parts add up to the observed change to the nano-dollar, and the planted cause is the largest part."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st
from tests.unit.detect.traffic import Cell, measure, window

from tokenfuse.contracts.measures import INDEX, MEASURES
from tokenfuse.contracts.signal import DriverPart
from tokenfuse.detect.drivers import DRIVERS, decompose, dominant, of_mixed_models, spent_and_usual

CELL = Cell(per_hour=500)


@st.composite
def side(draw, cells: int) -> np.ndarray:
    """int64[M, c]: any sums that calls could have left behind, rows of zeros and free calls included."""
    table = np.zeros((len(MEASURES), cells), np.int64)
    for cell in range(cells):
        calls = draw(st.integers(0, 10**6))
        if calls:
            tokens = draw(st.integers(0, 10**9))
            read = draw(st.integers(0, tokens))
            table[INDEX["calls"], cell] = calls
            table[INDEX["retries"], cell] = draw(st.integers(0, calls))
            table[INDEX["cost_nanousd"], cell] = draw(st.integers(0, 10**14))
            table[INDEX["input_tokens"], cell] = tokens
            table[INDEX["cache_read_tokens"], cell] = read
            table[INDEX["cache_write_tokens"], cell] = draw(st.integers(0, tokens - read))
            table[INDEX["output_tokens"], cell] = draw(st.integers(0, 10**9))
    return table


@st.composite
def cases(draw):
    cells = draw(st.integers(1, 5))
    groups = np.array(draw(st.lists(st.integers(0, 2), min_size=cells, max_size=cells)))
    return (
        draw(side(cells)),
        draw(side(cells)),
        (draw(st.integers(1, 10**6)), draw(st.integers(1, 10**6))),
        groups,
    )


@given(cases())
def test_the_parts_add_up_to_the_observed_change_exactly(case):
    now, base, scale, groups = case
    parts = decompose(now, base, scale, groups)

    observed = int(measure(now, "cost_nanousd").sum()) - round(
        int(measure(base, "cost_nanousd").sum()) * Fraction(*scale)
    )
    assert sum(part.nanousd for part in parts) == observed
    assert tuple(part.driver for part in parts) == DRIVERS


@given(cases())
def test_no_change_has_no_parts(case):
    now, _, _, groups = case
    cost = int(measure(now, "cost_nanousd").sum())

    assert all(abs(part.nanousd) <= 1 + cost * 1e-12 for part in decompose(now, now, (1, 1), groups))


@given(cases())
def test_as_many_times_the_same_calls_are_volume_alone(case):
    now, _, _, groups = case
    parts = decompose(now * 3, now, (1, 1), groups)
    cost = int(measure(now, "cost_nanousd").sum())

    assert parts[0].nanousd == pytest.approx(2 * cost, abs=1 + cost * 1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("driver", "change"),
    [
        ("volume", {"per_hour": 2000}),
        ("prompt", {"prompt": 3000}),
        ("output", {"output": 600}),
        ("cache", {"cached": 0.0}),
        ("retry", {"retried": 0.5, "per_hour": 1000}),
        ("price", {"price": 1.5}),
    ],
)
def test_the_planted_cause_has_nearly_the_whole_change(driver, change, seed):
    rng = np.random.default_rng(seed)
    base, now = window([CELL], 24, rng), window([CELL.but(**change)], 2, rng)
    parts = decompose(now, base, (2, 24), np.array([0]))

    assert dominant(parts) == driver
    assert {p.driver: p.nanousd for p in parts}[driver] > 0.75 * sum(p.nanousd for p in parts)


def test_traffic_that_moves_to_a_dearer_model_of_the_same_feature_is_tier():
    rng = np.random.default_rng(4)
    base = window([CELL.but(per_hour=450), CELL.but(per_hour=50, price=10)], 24, rng)
    now = window([CELL.but(per_hour=250), CELL.but(per_hour=250, price=10)], 2, rng)

    assert dominant(decompose(now, base, (2, 24), np.array([0, 0]))) == "tier"


def test_a_model_that_the_feature_never_used_is_tier_and_a_new_feature_is_volume():
    rng = np.random.default_rng(5)
    nothing = np.zeros(len(MEASURES), np.int64)
    base = np.stack([window([CELL], 24, rng)[:, 0], nothing], axis=1)
    now = window([CELL.but(per_hour=250), CELL.but(per_hour=250, price=10)], 2, rng)

    assert dominant(decompose(now, base, (2, 24), np.array([0, 0]))) == "tier"
    assert dominant(decompose(now, base, (2, 24), np.array([0, 1]))) == "volume"


def test_a_fall_is_explained_by_what_fell():
    rng = np.random.default_rng(6)
    parts = decompose(
        window([CELL.but(prompt=300)], 2, rng),
        window([CELL.but(prompt=3000)], 24, rng),
        (2, 24),
        np.array([0]),
    )

    assert dominant(parts) == "prompt"


def test_calls_without_tokens_have_a_price_and_no_other_part():
    base, now = np.zeros((2, len(MEASURES), 1), np.int64)
    base[INDEX["calls"]], base[INDEX["cost_nanousd"]] = 10, 1000
    now[INDEX["calls"]], now[INDEX["cost_nanousd"]] = 10, 3000

    assert {p.driver: p.nanousd for p in decompose(now, base, (1, 1), np.array([0]))} == {
        **dict.fromkeys(DRIVERS, 0), "price": 2000,
    }  # fmt: skip


def test_of_equal_parts_the_earlier_is_dominant():
    assert dominant((DriverPart("volume", 5), DriverPart("prompt", 5))) == "volume"


@given(cases())
def test_calls_of_all_models_together_have_the_same_sum_and_no_part_of_their_own(case):
    now, base, scale, groups = case
    spent, usual = spent_and_usual(now, base, scale)
    parts = of_mixed_models(decompose(now, base, scale, groups))

    assert sum(part.nanousd for part in parts) == spent - usual
    assert [part.driver for part in parts] == ["volume", "retry", "prompt", "output", "cache", "cost"]
