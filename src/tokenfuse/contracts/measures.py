"""What is summed per scope and pane: the columns of blocks, state and rollups, all additive int64.

Order is the wire format of `block.FORMAT` and of the checkpoint rows: append, never reorder.
"""

from __future__ import annotations

from typing import Final

MEASURES: Final = (
    "calls",
    "cost_nanousd",  # includes the estimates below
    "unpriced",  # calls whose model has no known price
    "unpriced_nanousd",  # what they were estimated at
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "context_tokens",
    "retries",  # calls with attempt > 1
    "errors",  # calls whose status is error or aborted
    "response_cache_hits",
    "cached_calls",  # calls with any cache read
    "tool_calls",
    "tier_small",  # calls by tier
    "tier_mid",
    "tier_frontier",
    "tier_reasoning",
    "latency_ms",
    "latency_calls",  # calls that said their latency
    "prompt_log",  # sum over calls of L = round(256 * log2(1 + input_tokens)): additive, so it can be retracted
    "prompt_log_sq",  # sum of L * L, for the variance of the log length
    "output_log",
    "output_log_sq",
    "off_book_nanousd",  # what producers' prices come to above our price book's; negative below
    "runs",  # first calls of agent runs: step 1, first attempt
    "children",  # first calls of sub-agents; on axis run_id counted at the parent
    "tool_sketch",  # on axis run_id: which tool calls repeat (contracts.sketch); 0 on all others
)

MAXIMA: Final = ("depth", "step")
"""Largest value seen per scope and pane; a correction cannot lower them."""

INDEX: Final = {name: i for i, name in enumerate(MEASURES)}
LOG_SCALE: Final = 256
