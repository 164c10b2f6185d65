"""Prices of many calls at once are those of each call alone, to the nano-dollar."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st

from tokenfuse.contracts.event import CostEvent
from tokenfuse.pricing.book import PriceBook
from tokenfuse.pricing.columns import EXACT_BELOW, Tokens, cost_columns, nanousd
from tokenfuse.pricing.units import Band, UnitPrices

BOOK = PriceBook()
AT_MS = 1_764_000_000_000
MODELS = (
    "gpt-4o", "claude-sonnet-4-5", "gemini-2.5-pro", "o3-mini", "deepseek-reasoner", "text-embedding-3-small", "nobody-knows",
)  # fmt: skip
counts = st.one_of(
    st.integers(0, 1_000_000), st.sampled_from([0, 128_000, 200_000, 200_001, 272_001, 10**15])
)


@st.composite
def events(draw) -> CostEvent:
    input_, output = draw(counts), draw(counts)
    cache_read = draw(st.integers(0, input_))
    return CostEvent(
        id="e", time=AT_MS, tenant="t", feature="f", model=draw(st.sampled_from(MODELS)), input_tokens=input_,
        output_tokens=output, cache_read_tokens=cache_read, cache_write_tokens=draw(st.integers(0, input_ - cache_read)),
        reasoning_tokens=draw(st.integers(0, output)), response_cache_hit=draw(st.booleans()),
    )  # fmt: skip


def tokens_of(rows) -> Tokens:
    return Tokens(*np.array(rows, np.int64).reshape(len(rows), 5).T)


@settings(max_examples=300, deadline=None)
@given(st.lists(events(), min_size=1, max_size=20))
def test_each_call_costs_what_the_book_says(calls) -> None:
    entries = [BOOK.entry(call, AT_MS) for call in calls]
    rows = [
        (c.input_tokens, c.output_tokens, c.cache_read_tokens, c.cache_write_tokens, c.reasoning_tokens) for c in calls
    ]  # fmt: skip
    free = np.array([call.response_cache_hit for call in calls])

    cost, unpriced = cost_columns(tokens_of(rows), free, entries, np.arange(len(calls)), BOOK.fallback)

    expected = [BOOK.cost(call, entry) for call, entry in zip(calls, entries, strict=True)]
    found = zip(cost.tolist(), unpriced.tolist(), strict=True)
    assert list(found) == [(min(amount, EXACT_BELOW), is_estimate) for amount, is_estimate in expected]


def test_prices_too_large_for_64_bits_are_summed_exactly() -> None:
    huge = UnitPrices(7, (Band(-1, 2**60, 3, 1, 1, 1, 0),), has_input=True, has_output=True)
    even = UnitPrices(2, (Band(-1, 1, 1, 1, 1, 1, 0),), has_input=True, has_output=True)
    rows = [(20, 10, 0, 0, 0), (1, 0, 0, 0, 0), (3, 0, 0, 0, 0), (0, 0, 0, 0, 0)]

    for prices in (huge, even):
        expected = [min(prices.cost_nanousd(*row), EXACT_BELOW) for row in rows]
        assert nanousd(prices, tokens_of(rows)).tolist() == expected
