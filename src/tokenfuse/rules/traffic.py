"""Traffic for rule tests: a few lines of YAML become calls, the same ones every time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from random import Random
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tokenfuse.contracts.event import TIERS, Tier
from tokenfuse.contracts.sketch import sketch_of
from tokenfuse.rules.units import Duration, Usd

CALLS_MAX: Final = 500_000
"""Per series: a rule test is read by people and runs in seconds."""

MILLION: Final = 1_000_000
SATURDAY: Final = 5
C = TypeVar("C")


def parse_start(text: Any) -> int:
    """Milliseconds since the epoch of an RFC 3339 time.

    Raises:
        ValueError: anything else.
    """
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError(f"expected a time such as 2026-03-02T00:00:00Z, got {text!r}") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone: end it with Z")
    return int(moment.astimezone(UTC).timestamp()) * 1000


Start = Annotated[int, BeforeValidator(parse_start)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TokenPrices(_Strict):
    """US dollars per million tokens."""

    input: Usd = Field(description="Uncached input.")
    output: Usd = Field(description="Output.")
    cache_read: Usd = Field(0, description="Input read from cache.")


class Series(_Strict):
    """Calls of one kind, evenly spaced; shares and spread are drawn from a generator that the test's name seeds."""

    from_: Duration = Field(0, alias="from", description="First call, after the test's start.")
    to: Duration = Field(description="No call at or after this.")
    calls_per_hour: float = Field(description="How many.", gt=0, le=3_600_000)
    hours: list[Annotated[int, Field(ge=0, le=24)]] = Field(
        [0, 24],
        description="Calls only from the one hour of the day, UTC, to the other, e.g. [8, 18].",
        min_length=2,
        max_length=2,
    )
    workdays: bool = Field(default=False, description="No calls on Saturdays and Sundays.")
    tenant: str = "acme"
    feature: str = "chat"
    model: str = "gpt-5-mini"
    prompt_template: str | None = None
    user: str | None = None
    run_id: str | None = Field(None, description="All calls are steps of this run; see calls_per_run.")
    calls_per_run: int | None = Field(
        None, description="After so many calls the next run begins: <run_id>-0, <run_id>-1, ...", ge=1
    )
    parent_run_id: str | None = Field(None, description="The run that started this one, or these.")
    depth: int = Field(0, ge=0, le=10**6)
    tool_calls: int = Field(0, ge=0, le=10**6)
    tools: int | None = Field(None, description="So many distinct tool calls, one after the other.", ge=1)
    off_book: float = Field(
        0.0, ge=-1, le=100, description="Part of the cost that is above the price book's, e.g. 0.5."
    )
    unpriced: bool = Field(default=False, description="The price book does not know the model.")
    input_tokens: int = Field(1000, ge=0, le=10**9)
    output_tokens: int = Field(200, ge=0, le=10**9)
    spread: float = Field(
        0.0, ge=0, le=2, description="Standard deviation of the logarithm of both token counts."
    )
    cache_hit_share: float = Field(
        0.0, ge=0, le=1, description="Calls that read nine tenths of their input from cache."
    )
    retry_share: float = Field(0.0, ge=0, le=1)
    tier: Tier = "small"
    usd: Usd | None = Field(None, description="What each call costs, whatever its tokens.")
    usd_per_million: TokenPrices | None = Field(None, description="What its tokens cost.")

    @model_validator(mode="after")
    def _is_priced_once(self) -> Series:
        if (self.usd is None) == (self.usd_per_million is None):
            raise ValueError("give usd (per call) or usd_per_million (of tokens), and not both")
        if self.to <= self.from_:
            raise ValueError("to: later than from")
        if self.calls > CALLS_MAX:
            raise ValueError(
                f"{self.calls} calls: at most {CALLS_MAX}; fewer and dearer ones test the same rule"
            )
        return self

    @property
    def calls(self) -> int:
        """How many calls there are."""
        return math.ceil((self.to - self.from_) * self.calls_per_hour / 3600)


def expand(series: Iterable[Series], start_ms: int, seed: str, make: Callable[..., C]) -> list[C]:
    """Every call of every series, sorted by time.

    Args:
        series: the traffic of one test.
        start_ms: the test's start.
        seed: the test's name.
        make: takes the fields of `tokenfuse.ingest.call.Call` as keywords; given by the caller, since rules sit below
            ingest in the pipeline.
    """
    fields = [
        call
        for number, one in enumerate(series)
        for call in _calls(one, start_ms, Random(f"{seed}/{number}"), number)
    ]
    return [make(**call) for call in sorted(fields, key=lambda call: call["time_ms"])]


def _calls(series: Series, start_ms: int, rng: Random, number: int) -> Iterator[dict[str, Any]]:
    for i in range(series.calls):
        time_ms = start_ms + series.from_ * 1000 + int(i * 3_600_000 / series.calls_per_hour)
        if _is_open(series, time_ms):
            yield _call(series, time_ms, rng) | _step(series, i) | {"id": f"s{number}-{i}"}


def _is_open(series: Series, time_ms: int) -> bool:
    """Whether calls of a series come at that time of the day and the week."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    first, end = series.hours
    return first <= moment.hour < end and not (series.workdays and moment.weekday() >= SATURDAY)


def _step(series: Series, i: int) -> dict[str, Any]:
    """Which step of which run the i-th call is."""
    if series.run_id is None:
        return {}
    length = series.calls_per_run or series.calls
    return {
        "run_id": series.run_id if series.calls_per_run is None else f"{series.run_id}-{i // length}",
        "parent_run_id": series.parent_run_id, "step": i % length + 1, "depth": series.depth,
        "tool_sketch": sketch_of(f"tool-{i % series.tools}") if series.tools else 0,
    }  # fmt: skip


def _call(series: Series, time_ms: int, rng: Random) -> dict[str, Any]:
    tokens_in, tokens_out = (
        round(mean * rng.lognormvariate(0, series.spread))
        for mean in (series.input_tokens, series.output_tokens)
    )
    read = tokens_in * 9 // 10 if rng.random() < series.cache_hit_share else 0
    cost = _cost(series, tokens_in, tokens_out, read)
    return {
        "revision": 0, "time_ms": time_ms, "tenant": series.tenant, "feature": series.feature, "model": series.model,
        "prompt_template": series.prompt_template, "user": series.user, "run_id": series.run_id, "further": (),
        "cost_nanousd": cost, "unpriced": series.unpriced, "off_book_nanousd": round(cost * series.off_book / (1 + series.off_book)), "input_tokens": tokens_in,
        "output_tokens": tokens_out, "cache_read_tokens": read, "cache_write_tokens": 0, "reasoning_tokens": 0,
        "context_tokens": 0, "retry": rng.random() < series.retry_share, "error": False, "response_cache_hit": False,
        "tool_calls": series.tool_calls, "tier": TIERS.index(series.tier), "latency_ms": -1, "depth": 0, "step": 0,
    }  # fmt: skip


def _cost(series: Series, tokens_in: int, tokens_out: int, read: int) -> int:
    prices = series.usd_per_million
    if prices is None:
        return series.usd or 0
    return (
        prices.input * (tokens_in - read) + prices.output * tokens_out + prices.cache_read * read
    ) // MILLION
