"""A call: one priced, normalised event, ready to be summed. Everything is an integer."""

from __future__ import annotations

from msgspec import Struct


class Call(Struct, frozen=True, gc=False):
    """One attempt of one model call after decoding, normalising and pricing. Construct it by keywords, but in `normalise`.

    Attributes:
        further: values of the further axes that settings name, in their order.
        replaces: what this revision says that it replaces, when it says so.
        tier: index into TIERS, or -1 where unknown. latency_ms: -1 where unknown. depth, step: 0 where unknown.
        off_book_nanousd: what the producer's price comes to above the price book's; 0 where either does not say.
        tool_sketch: of the call's tool signature (contracts.sketch); 0 without one.
    """

    id: str
    revision: int
    time_ms: int
    tenant: str
    feature: str
    model: str
    prompt_template: str | None
    user: str | None
    run_id: str | None
    further: tuple[str | None, ...]
    cost_nanousd: int
    unpriced: bool
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    context_tokens: int
    retry: bool
    error: bool
    response_cache_hit: bool
    tool_calls: int
    tier: int
    latency_ms: int
    depth: int
    step: int
    replaces: Call | None = None
    off_book_nanousd: int = 0
    parent_run_id: str | None = None
    tool_sketch: int = 0
