"""Reads delta blocks back into plain dictionaries, and sums calls the slow, obvious way to compare with."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from tokenfuse.contracts.axes import AXES, CELL, CELL_AXES, GLOBAL
from tokenfuse.contracts.block import DeltaBlock, decode_block
from tokenfuse.contracts.measures import MEASURES
from tokenfuse.contracts.scope import scope_key
from tokenfuse.windows.rows import decode_rows

Key = tuple[str, str, int]


def axis_rows(rows):
    """(value, pane, sums, maxima, dearest cost, dearest id, cell) of each row of one axis."""
    read = decode_rows(rows)
    columns = (read.scope, read.pane_s, read.sums, read.maxima, read.dearest_nanousd)
    for scope, pane, sums, maxima, cost, dearest_id in zip(
        *(c.tolist() for c in columns), read.dearest_id, strict=True
    ):
        cell = read.cells[scope] if read.cells else ""
        yield read.values[scope], pane, tuple(sums), tuple(maxima), cost, dearest_id, cell


def sums_of(blocks: list[bytes]) -> dict[Key, tuple[int, ...]]:
    """Sums by (axis, value, pane) over blocks of any slices and partitions; each cell counted once per slice."""
    total: dict[Key, np.ndarray] = defaultdict(lambda: np.zeros(len(MEASURES), np.int64))
    seen = set()
    for data in blocks:
        block = decode_block(data)
        assert isinstance(block, DeltaBlock)
        for rows in block.rows:
            for value, pane, sums, *_ in axis_rows(rows):
                copy = (block.source, block.a, rows.axis, value, pane)
                if copy not in seen:
                    seen.add(copy)
                    total[rows.axis, value, pane] += np.array(sums, np.int64)
    return {key: tuple(map(int, sums)) for key, sums in total.items() if sums.any()}


def measures_of(call) -> tuple[int, ...]:
    """The measures of one call, field by field as `contracts/measures.py` words them; of calls without a parent run."""
    prompt, output = (round(256 * math.log2(1 + n)) for n in (call.input_tokens, call.output_tokens))
    known = call.latency_ms >= 0
    of = {
        "calls": 1, "cost_nanousd": call.cost_nanousd, "unpriced": int(call.unpriced),
        "unpriced_nanousd": call.cost_nanousd if call.unpriced else 0,
        "input_tokens": call.input_tokens, "output_tokens": call.output_tokens,
        "cache_read_tokens": call.cache_read_tokens, "cache_write_tokens": call.cache_write_tokens,
        "reasoning_tokens": call.reasoning_tokens, "context_tokens": call.context_tokens,
        "retries": int(call.retry), "errors": int(call.error), "response_cache_hits": int(call.response_cache_hit),
        "cached_calls": int(call.cache_read_tokens > 0), "tool_calls": call.tool_calls,
        "tier_small": int(call.tier == 0), "tier_mid": int(call.tier == 1),
        "tier_frontier": int(call.tier == 2), "tier_reasoning": int(call.tier == 3),
        "latency_ms": call.latency_ms if known else 0, "latency_calls": int(known),
        "prompt_log": prompt, "prompt_log_sq": prompt**2, "output_log": output, "output_log_sq": output**2,
        "off_book_nanousd": call.off_book_nanousd, "runs": int(call.step == 1 and not call.retry), "children": 0,
        "tool_sketch": 0,
    }  # fmt: skip
    return tuple(of[name] for name in MEASURES)


def scopes_of(call, further=()) -> list[tuple[str, str]]:
    """Every (axis, value) that a call belongs to."""
    values = {axis: getattr(call, axis) for axis in AXES} | dict(zip(further, call.further, strict=True))
    cell = {axis: values[axis] for axis in CELL_AXES if values[axis] is not None}
    named = [(axis, value) for axis, value in values.items() if value is not None]
    return [*named, (CELL, scope_key(cell)), (GLOBAL, "")]


def expected_sums(calls, signs=None, further=()) -> dict[Key, tuple[int, ...]]:
    """Sums by (axis, value, pane), call after call."""
    total: dict[Key, np.ndarray] = defaultdict(lambda: np.zeros(len(MEASURES), np.int64))
    for call, sign in zip(calls, signs or [1] * len(calls), strict=True):
        for axis, value in scopes_of(call, further):
            total[axis, value, call.time_ms // 10_000 * 10] += sign * np.array(measures_of(call), np.int64)
    return {key: tuple(map(int, sums)) for key, sums in total.items() if sums.any()}
