"""Our prices are those of genai-prices, to the nano-dollar, and what has no price never costs nothing."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers
from hypothesis import given, settings, strategies as st

from tokenfuse.contracts.event import TIERS, CostEvent
from tokenfuse.pricing.book import PriceBook

BOOK = PriceBook()
AT = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
AT_MS = int(AT.timestamp()) * 1000
MODELS = [
    (p.id, m.id) for p in providers for m in p.models if p.find_model(m.id)
]  # some ids do not match themselves


def event(**changes) -> CostEvent:
    fields = {"id": "e", "time": 0, "tenant": "t", "feature": "f", "model": "gpt-4o", "input_tokens": 0}
    return CostEvent(**{**fields, "output_tokens": 0, **changes})


def theirs(e: CostEvent, context: dict[str, str] | None = None, at: datetime = AT) -> int:
    usage = Usage(
        input_tokens=e.input_tokens,
        output_tokens=e.output_tokens,
        cache_read_tokens=e.cache_read_tokens,
        cache_write_tokens=e.cache_write_tokens,
        output_reasoning_tokens=e.reasoning_tokens,
    )
    price = calc_price(
        usage, e.model, provider_id=e.provider, genai_request_timestamp=at, price_context=context
    ).total_price
    return int((price * 10**9).to_integral_value(rounding=ROUND_HALF_EVEN))


@st.composite
def calls(draw) -> CostEvent:
    provider, model = draw(st.sampled_from(MODELS))
    input_tokens = draw(
        st.one_of(st.integers(0, 300_000), st.integers(0, 10**9), st.sampled_from([200_000, 200_001]))
    )
    output_tokens = draw(st.integers(0, 200_000))
    read = draw(st.integers(0, input_tokens))
    return event(
        provider=provider,
        model=model,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=read,
        cache_write_tokens=draw(st.integers(0, input_tokens - read)),
        reasoning_tokens=draw(st.integers(0, output_tokens)),
        batch=draw(st.booleans()),
    )


@settings(max_examples=400, deadline=None)
@given(calls())
def test_every_model_and_token_mix_costs_what_genai_prices_says(call):
    priced = BOOK.price(call, AT_MS)
    if priced.unpriced:  # it has no token price there: genai-prices would say 0 for (part of) it
        prices = BOOK.entry(call, AT_MS).prices
        assert prices is None or not (prices.has_input and prices.has_output)
        assert priced.cost_nanousd == priced.estimated_nanousd
    else:
        assert priced.cost_nanousd == theirs(call, {"processing": "batch"} if call.batch else None)


@pytest.mark.parametrize("tier", ["flex", "priority", "default"])
def test_the_service_tier_chooses_the_price(tier):
    call = event(
        provider="openai", model="gpt-5", input_tokens=1000, output_tokens=10, labels={"service_tier": tier}
    )
    assert BOOK.price(call, AT_MS).cost_nanousd == theirs(call, {"service_tier": tier})


@pytest.mark.parametrize("hour", range(24))
def test_a_price_that_depends_on_the_time_of_day_is_resolved_by_the_minute(hour):
    at = datetime(2025, 8, 4, hour, 31, tzinfo=UTC)
    call = event(provider="deepseek", model="deepseek-chat", input_tokens=100_000, output_tokens=5000)
    assert BOOK.price(call, int(at.timestamp()) * 1000).cost_nanousd == theirs(call, at=at)


def test_a_price_change_takes_effect_on_its_day():
    call = event(provider="openai", model="o3", input_tokens=1_000_000)
    before, after = datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC)
    costs = [BOOK.price(call, int(day.timestamp()) * 1000).cost_nanousd for day in (before, after)]
    assert costs == [10_000_000_000, 2_000_000_000]


def test_crossing_a_threshold_reprices_all_tokens():
    small, large = (
        event(provider="anthropic", model="claude-sonnet-4-5", input_tokens=n) for n in (200_000, 200_001)
    )
    assert BOOK.price(small, AT_MS).cost_nanousd == 600_000_000
    assert BOOK.price(large, AT_MS).cost_nanousd == 200_001 * 6000


def test_an_unknown_model_is_estimated_high_and_marked():
    priced = BOOK.price(event(model="in-house-7", input_tokens=1000, output_tokens=100), AT_MS)
    assert priced.unpriced
    assert priced.cost_nanousd == priced.estimated_nanousd == 1000 * 15_000 + 100 * 75_000


def test_a_model_without_token_prices_is_unpriced_not_free():
    assert BOOK.price(event(provider="openai", model="whisper-1", input_tokens=5), AT_MS).unpriced


@pytest.mark.parametrize("status", ["error", "blocked"])
def test_a_failed_call_without_tokens_costs_nothing_and_is_not_unpriced(status):
    priced = BOOK.price(event(model="in-house-7", status=status), AT_MS)
    assert (priced.cost_nanousd, priced.unpriced) == (0, False)


def test_a_failed_call_with_tokens_costs_what_they_cost():
    call = event(status="error", input_tokens=1000)
    assert BOOK.price(call, AT_MS).cost_nanousd == theirs(event(provider="openai", input_tokens=1000)) > 0


def test_what_the_producer_says_wins_even_zero():
    for usd, nanousd in (("0", 0), ("0.5", 500_000_000), ("0.0000000005", 0), ("0.0000000015", 2)):
        priced = BOOK.price(event(model="in-house-7", input_tokens=9, cost_usd=Decimal(usd)), AT_MS)
        assert (priced.cost_nanousd, priced.unpriced) == (nanousd, False)


def test_a_cost_of_many_digits_is_rounded_once():
    usd = Decimal("0.00000000049999999999999999999999999999999999999999")
    assert BOOK.price(event(cost_usd=usd), AT_MS).cost_nanousd == 0
    assert (
        BOOK.price(event(cost_usd=Decimal("0.0000000014999999999999999999999999999999")), AT_MS).cost_nanousd
        == 1
    )


def test_an_answer_from_the_own_cache_costs_nothing_unless_the_producer_says_so():
    hit = event(input_tokens=1000, response_cache_hit=True)
    assert BOOK.price(hit, AT_MS).cost_nanousd == 0
    assert BOOK.price(event(cost_usd=Decimal("0.1"), response_cache_hit=True), AT_MS).cost_nanousd == 10**8


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o", "openai"),
        ("claude-sonnet-4-5", "anthropic"),
        ("gemini-2.5-pro", "google"),
        ("in-house-7", None),
    ],
)
def test_the_provider_is_inferred_from_the_model(model, provider):
    assert BOOK.entry(event(model=model), AT_MS).provider == provider


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("azure.ai.openai", "gpt-4o"), ("x_ai", "grok-4"), ("gcp.vertex_ai", "gemini-2.5-pro"),
        ("litellm_proxy", "openai/gpt-4o"), (None, "anthropic/claude-sonnet-4-5"), ("own-gateway", "gpt-4o-mini"),
        ("aws.bedrock", "anthropic.claude-sonnet-4-20250514-v1:0"),
    ],
)  # fmt: skip
def test_names_that_gateways_use_find_their_price(provider, model):
    assert not BOOK.price(event(provider=provider, model=model, input_tokens=1), AT_MS).unpriced


@pytest.mark.parametrize(
    ("model", "tier"),
    [
        ("gpt-4o-mini", "small"), ("gpt-5-nano", "small"), ("gemini-2.5-flash", "small"), ("claude-haiku-4-5", "small"),
        ("gpt-4o", "mid"), ("claude-sonnet-4-5-20250929", "mid"), ("gpt-4.1", "mid"), ("mistral-large-latest", "mid"),
        ("claude-opus-4-1", "frontier"), ("gpt-5", "frontier"), ("gemini-2.5-pro", "frontier"), ("grok-4", "frontier"),
        ("o3", "reasoning"), ("o4-mini", "reasoning"), ("openai/o1-preview", "reasoning"), ("deepseek-r1", "reasoning"),
        ("minimax-m2", "small"),
    ],
)  # fmt: skip
def test_the_tier_follows_from_the_name_then_from_the_price(model, tier):
    assert TIERS[BOOK.entry(event(model=model), AT_MS).tier] == tier


def test_a_model_of_unknown_name_and_price_has_no_tier():
    assert BOOK.entry(event(model="in-house-7"), AT_MS).tier == -1


def test_the_version_names_the_data_and_the_catalogue():
    assert BOOK.version.startswith("genai-prices-0.2.")
    assert BOOK.version.endswith("+1")
