"""CostEvent v1, the canonical event: one JSON object per model call attempt (EVENTS.md).

This is the hot-path struct. `contracts.public.event` holds the pydantic model with the same fields, which
makes the published JSON Schema and the exact per-field error of a bad record; a property test holds both equal.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

COUNT_MAX: Final = 10**15
"""Larger counts could overflow the int64 sums of a month."""

Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Name = Annotated[str, Meta(min_length=1, max_length=1024)]
EventId = Annotated[str, Meta(min_length=1, max_length=128)]
Status = Literal["ok", "error", "aborted", "blocked"]
Tier = Literal["small", "mid", "frontier", "reasoning"]
Time = str | int | float

TIERS: Final[tuple[Tier, ...]] = ("small", "mid", "frontier", "reasoning")


class Replaces(Struct, kw_only=True, frozen=True):
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


class CostEvent(Struct, kw_only=True):
    """One attempt of one model call. Counts are tokens, money is US dollars, times RFC 3339 or epoch s/ms."""

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
