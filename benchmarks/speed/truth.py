"""What a feed must sum up to, computed from its columns and not by any code that is measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from benchmarks.speed import events
from benchmarks.speed.events import Chunk, Feed, Ints

from tokenfuse.contracts.event import CostEvent
from tokenfuse.pricing.book import PriceBook

MEASURES: Final = ("calls", "cost_nanousd", "input_tokens", "output_tokens", "cache_read_tokens", "retries")
AXES: Final = ("tenant", "feature", "model", "prompt_template", "user")
PANE_SECONDS: Final = 10

Totals = dict[tuple[str, str, int], tuple[int, ...]]
"""Sums in the order of MEASURES by axis, value and start of the pane, seconds; pane 0 where panes are not told apart."""


def read(feed: Feed) -> Chunk:
    """The whole feed as columns."""
    return Chunk(*(np.concatenate(parts) for parts in zip(*events.chunks(feed), strict=True)))


def once(messages: Chunk) -> Chunk:
    """The messages without repeats."""
    _, first = np.unique(messages.number, return_index=True)
    return messages.take(np.sort(first))


def totals(messages: Chunk, *, panes: bool = True, cells: bool = True, runs: bool = True) -> Totals:
    """Sums of these messages over the five axes, and over runs and cells where wanted."""
    measured = _measures(messages)
    pane = (
        messages.time_ms // (1000 * PANE_SECONDS) * PANE_SECONDS if panes else np.zeros_like(messages.time_ms)
    )
    found: Totals = {}
    for axis, (code, name) in _axes(messages, cells=cells, runs=runs).items():
        kept = np.flatnonzero(code >= 0)
        pairs, place = np.unique(np.stack([code[kept], pane[kept]]), axis=1, return_inverse=True)
        sums = np.zeros((pairs.shape[1], len(MEASURES)), np.int64)
        np.add.at(sums, place.ravel(), measured[kept])
        for value, start, row in zip(*pairs.tolist(), sums.tolist(), strict=True):
            found[axis, name(value), start] = tuple(row)
    return found


def differences(found: Totals, expected: Totals) -> list[str]:
    """Scopes whose sums are wrong, missing or too many, each in words; empty: all is right."""
    keys = found.keys() | expected.keys()
    return [
        f"{key}: {found.get(key)} instead of {expected.get(key)}"
        for key in sorted(keys)
        if found.get(key) != expected.get(key)
    ]


def write_totals(path: Path, found: Totals | Mapping[tuple[str, str, int], list[int]]) -> None:
    """For the harness, from a contender's process."""
    path.write_bytes(msgspec.msgpack.encode([(*key, *sums) for key, sums in found.items()]))


def read_totals(path: Path) -> Totals:
    """Inverse of `write_totals`."""
    rows = msgspec.msgpack.decode(path.read_bytes())
    return {(axis, value, pane): tuple(sums) for axis, value, pane, *sums in rows}


def _measures(messages: Chunk) -> Ints:
    inputs, outputs, cached = messages.input_tokens, messages.output_tokens, messages.cache_read_tokens
    price = np.array([_prices(provider, model) for provider, model in events.MODELS])[messages.model]
    cost = (inputs - cached) * price[:, 0] + outputs * price[:, 1] + cached * price[:, 2]
    columns = (np.ones_like(inputs), cost, inputs, outputs, cached, messages.attempt - 1)
    return np.stack(columns, axis=1).astype(np.int64)


def _prices(provider: str, model: str) -> tuple[int, int, int]:
    """Nano-dollars per token of input, output and cached input, as the price book has them for short prompts."""
    call = CostEvent(
        id="x",
        time=0,
        tenant="t",
        feature="f",
        model=model,
        provider=provider,
        input_tokens=1,
        output_tokens=1,
    )
    prices = PriceBook().entry(call, events.START_MS).prices
    if prices is None or prices.denominator != 1:
        raise ValueError(f"{model}: no price in whole nano-dollars; choose another model for the feed")
    base = prices.bands[-1]
    return base.input, base.output, base.cache_read


def _axes(messages: Chunk, *, cells: bool, runs: bool):
    models = [model for _, model in events.MODELS]
    axes = {
        "tenant": (messages.tenant, events.tenant),
        "feature": (messages.feature, events.feature),
        "model": (messages.model, models.__getitem__),
        "prompt_template": (messages.template, events.template),
        "user": (messages.user, events.user),
    }
    if runs:
        axes["run_id"] = (messages.run, events.run)
    if cells:
        sizes = [int(column.max()) + 1 for column in (messages.feature, messages.model, messages.template)]
        features, models_, templates = sizes
        code = ((messages.tenant * features + messages.feature) * models_ + messages.model) * templates
        axes["cell"] = (code + messages.template, lambda value: _cell(value, features, models_, templates))
    return axes


def _cell(code: int, features: int, models: int, templates: int) -> str:
    code, template = divmod(code, templates)
    code, model = divmod(code, models)
    tenant, feature = divmod(code, features)
    return (
        f"feature={events.feature(feature)}&model={events.MODELS[model][1]}"
        f"&prompt_template={events.template(template)}&tenant={events.tenant(tenant)}"
    )
