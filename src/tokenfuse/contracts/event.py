"""CostEvent v1, the canonical event: one JSON object per model call attempt (EVENTS.md).

This is the hot-path struct. `contracts.public.event` holds the pydantic model with the same fields, which
makes the published JSON Schema and the exact per-field error of a bad record; a property test holds both equal.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from tokenfuse.contracts.money import NANO, NANOUSD_MAX

COUNT_MAX: Final = 10**15
"""Larger counts could overflow the int64 sums of a month."""

Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Name = Annotated[str, Meta(min_length=1, max_length=1024)]
EventId = Annotated[str, Meta(min_length=1, max_length=128)]
Status = Literal["ok", "error", "aborted", "blocked"]
Tier = Literal["small", "mid", "frontier", "reasoning"]
Time = str | int | float

TIERS: Final[tuple[Tier, ...]] = ("small", "mid", "frontier", "reasoning")

COST_USD_MAX: Final = Decimal(NANOUSD_MAX) / NANO
"""Largest cost of one call, US dollars."""

NANO_QUANTUM: Final = Decimal(1) / NANO
DIGITS_MAX: Final = 40


class Replaces(Struct, kw_only=True, frozen=True, gc=False):
    """What a late revision says that it replaces: the original's time, axes, cost and tokens."""

    time: Time
    tenant: Name
    feature: Name
    model: Name
    input_tokens: Count
    output_tokens: Count
    cost_usd: Decimal | None = None
    cache_read_tokens: Count = 0
    cache_write_tokens: Count = 0
    reasoning_tokens: Count = 0
    context_tokens: Count = 0
    attempt: Annotated[int, Meta(ge=1, le=10_000)] = 1
    status: Status = "ok"
    tier: Tier | None = None
    provider: Name | None = None
    prompt_template: Name | None = None
    user: Name | None = None
    run_id: Name | None = None
    cost_center: Name | None = None
    response_cache_hit: bool = False
    batch: bool = False
    latency_ms: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    tool_calls: Count = 0
    step: Count | None = None
    depth: Count | None = None
    session_id: Name | None = None
    project: Name | None = None
    task_type: Name | None = None
    technical_owner: Name | None = None
    data_class: Name | None = None
    prompt_version: Name | None = None
    application: Name | None = None
    owner: Name | None = None
    team: Name | None = None
    environment: Name | None = None
    region: Name | None = None
    business_process: Name | None = None
    request_type: Name | None = None
    labels: Annotated[dict[str, str], Meta(max_length=16)] | None = None

    def __post_init__(self) -> None:
        check_invariants(self)


class CostEvent(Struct, kw_only=True, gc=False):
    """One attempt of one model call. Counts are tokens, money is US dollars, times RFC 3339 or epoch s/ms.

    `time` is checked by ingest, since it depends on when the record came. `labels.service_tier` (OpenAI's `flex`,
    `priority`, ...) and `batch` choose the unit prices where the producer says no cost.
    """

    id: EventId
    time: Time
    tenant: Name
    feature: Name
    model: Name
    input_tokens: Count
    output_tokens: Count
    provider: Name | None = None
    cost_usd: Decimal | None = None
    cache_read_tokens: Count = 0
    cache_write_tokens: Count = 0
    reasoning_tokens: Count = 0
    context_tokens: Count = 0
    attempt: Annotated[int, Meta(ge=1, le=10_000)] = 1
    status: Status = "ok"
    response_cache_hit: bool = False
    response_cache: Literal["exact", "semantic"] | None = None
    tier: Tier | None = None
    latency_ms: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    tool_calls: Count = 0
    tool_signature: Name | None = None
    run_id: Name | None = None
    parent_run_id: Name | None = None
    step: Count | None = None
    depth: Count | None = None
    user: Name | None = None
    session_id: Name | None = None
    project: Name | None = None
    task_type: Name | None = None
    technical_owner: Name | None = None
    data_class: Name | None = None
    prompt_template: Name | None = None
    prompt_version: Name | None = None
    application: Name | None = None
    owner: Name | None = None
    team: Name | None = None
    environment: Name | None = None
    region: Name | None = None
    cost_center: Name | None = None
    business_process: Name | None = None
    request_type: Name | None = None
    batch: bool = False
    outcome: Name | None = None
    trace_id: Name | None = None
    span_id: Name | None = None
    revision: Annotated[int, Meta(ge=0, le=10**9)] = 0
    replaces: Replaces | None = None
    quality_score: Annotated[float, Meta(ge=0, le=1)] | None = None
    labels: Annotated[dict[str, str], Meta(max_length=16)] | None = None

    def __post_init__(self) -> None:
        check_invariants(self)


class InvariantError(ValueError):
    """A field contradicts another or the bounds that the type alone cannot say; the first word is the field."""


def check_invariants(event: CostEvent | Replaces) -> None:
    """What holds between fields: subsets fit into their totals, and a cost is finite, not negative and bounded.

    Raises:
        InvariantError: it does not hold. msgspec makes it a ValidationError when it happens while decoding.
    """
    if event.cache_read_tokens + event.cache_write_tokens > event.input_tokens:
        msg = "cache_read_tokens + cache_write_tokens are larger than input_tokens, of which they are a part"
        raise InvariantError(msg)
    if event.reasoning_tokens > event.output_tokens:
        msg = "reasoning_tokens is larger than output_tokens, of which it is a part"
        raise InvariantError(msg)
    cost = event.cost_usd
    # Comparing a NaN with a number raises InvalidOperation, hence is_finite first.
    if cost is not None and not (cost.is_finite() and 0 <= cost <= COST_USD_MAX):
        msg = f"cost_usd must be a finite number from 0 to {COST_USD_MAX}, got {cost}"
        raise InvariantError(msg)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(CostEvent)
_exact = msgspec.json.Decoder(float_hook=Decimal)


def parse_json(data: bytes) -> Any:
    """Any JSON document by the strict grammar (no NaN, no Infinity); numbers with a fraction as exact Decimals.

    Raises:
        msgspec.DecodeError: not JSON. RecursionError: nested too deeply.
    """
    return _exact.decode(data)


def encode_event(event: CostEvent) -> bytes:
    """Canonical JSON, one line: fields that are null are left out, but `cost_usd` never; money as decimal string."""
    return _encoder.encode(_plain(event))


def decode_event(data: bytes) -> CostEvent:
    """Inverse of `encode_event`, for canonical JSON.

    Raises:
        msgspec.DecodeError: not a canonical event; `ingest.deadletter` finds out why.
    """
    return _decoder.decode(data)


def _plain(record: CostEvent | Replaces) -> dict[str, Any]:
    fields = {name: value for name, value in msgspec.structs.asdict(record).items() if value is not None}
    fields["cost_usd"] = None if record.cost_usd is None else _usd_text(record.cost_usd)
    if isinstance(record, CostEvent) and record.replaces is not None:
        fields["replaces"] = _plain(record.replaces)
    return fields


def _usd_text(usd: Decimal) -> str:
    """All digits that the producer sent, unless they are absurdly many (`1e-999999` would be a megabyte)."""
    exact = int(usd.as_tuple().exponent) >= -DIGITS_MAX
    return format(usd if exact else usd.quantize(NANO_QUANTUM), "f")
