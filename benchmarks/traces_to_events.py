"""Canonical events, JSON lines in the order of their times, drawn from real call traces (`SOURCES.md` beside them).

    python benchmarks/traces_to_events.py --traces ../shared/traces --calls 500000 --days 2 > events.jsonl

The same arguments give the same bytes. Clients of ServeGen become features of tenants, runs of coding agents agent runs,
Mooncake's and Azure's requests further features. What the traces do not say is added so that every way of counting a
call occurs: a producer's own price or none, models without a known price, retries, answers from a cache, users,
templates, reasoning, batch, and amounts that need rounding.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from tokenfuse.demo.arrivals import DAY_S, arrivals
from tokenfuse.demo.traces import (
    AgentRequest,
    Client,
    Exchange,
    packaged,
    read_agent_runs,
    read_azure,
    read_clients,
    read_mooncake,
)

START: Final = datetime(2025, 11, 3, tzinfo=UTC)
DEFAULT_TRACES: Final = Path(__file__).resolve().parents[2] / "shared" / "traces"

Event = dict[str, Any]
Timed = tuple[float, int, Event]
"""Seconds since the start, a number that no other event has, the event."""

SHARES: Final = {"clients": 0.80, "agents": 0.10, "mooncake": 0.06, "azure": 0.04}
TENANTS: Final = (
    "acme",
    "globex",
    "initech",
    "umbrella",
    "hooli",
    "stark",
    "wayne",
    "wonka",
    "tyrell",
    "cyberdyne",
)
FEATURES: Final = {
    "language m-large": ("support-chat", "search-answers", "report-writer", "contract-review"),
    "language m-mid": ("classify", "summarise", "translate"),
    "language m-small": ("autocomplete", "moderation"),
    "reason deepseek-r1": ("planner", "analyst"),
    "multimodal mm-image": ("receipt-scan", "alt-text"),
}
MODELS: Final = {
    "language m-large": ("gpt-4o", "claude-sonnet-4-5", "gpt-5", "gemini-2.5-pro"),
    "language m-mid": ("gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash"),
    "language m-small": ("in-house-7b", "gpt-5-nano", "gemini-2.5-flash-lite"),
    "reason deepseek-r1": ("deepseek-reasoner", "o4-mini"),
    "multimodal mm-image": ("gemini-2.5-flash", "gpt-4o"),
}
PROVIDERS: Final = {"gpt-4o": "openai", "claude-sonnet-4-5": "anthropic", "deepseek-reasoner": "deepseek"}
"""Some producers name the provider, the others leave it to be inferred."""

OWN_PRICES: Final = {"gpt-4o-mini": ("0.11", "0.47"), "gemini-2.5-flash": ("0.2987654321", "2.4987654321")}
"""Models whose producer says the cost, by its own contract: dollars per million input and output tokens."""

CLIENTS_PER_KIND: Final = 12
USERS_PER_TENANT: Final = 200
THINK_SECONDS_MAX: Final = 120.0
"""People leave their desks; a run that waits for days says nothing about spending."""


def events(directory: Path, calls: int, days: float, seed: int) -> Iterator[tuple[int, Event]]:
    """Exactly `calls` events as (milliseconds since the epoch, event), rising."""
    counts = _shared_out(calls, list(SHARES.values()))
    span_s = int(days * DAY_S)
    sources = [
        *_client_sources(read_clients(directory), counts[0], span_s, seed),
        *_agent_sources(read_agent_runs(directory), counts[1], span_s, seed),
        _exchange_source(
            read_mooncake(directory), counts[2], span_s, random.Random(f"{seed} mooncake"), "kb-chat"
        ),
        _exchange_source(
            read_azure(directory), counts[3], span_s, random.Random(f"{seed} azure"), "code-complete"
        ),
    ]
    start_ms = int(START.timestamp() * 1000)
    merged = heapq.merge(*(_numbered(source, i) for i, source in enumerate(sources)))
    for number, (at_s, _, event) in enumerate(merged):
        event["id"] = f"{seed}-{number}"
        yield start_ms + int(at_s * 1000), event


def write(directory: Path, calls: int, days: float, seed: int, out: IO[bytes]) -> None:
    """Write the events as JSON lines; `time` is RFC 3339 to the millisecond."""
    encode = msgspec.json.Encoder().encode
    second, text = -1, ""
    for at_ms, event in events(directory, calls, days, seed):
        if at_ms // 1000 != second:
            second = at_ms // 1000
            text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        event["time"] = f"{text}.{at_ms % 1000:03d}Z"
        out.write(encode(event))
        out.write(b"\n")


def _numbered(source: Iterator[tuple[float, Event]], number: int) -> Iterator[Timed]:
    """Events that can be compared: two of the same time in the order of their sources."""
    return ((at_s, number, event) for at_s, event in source)


def _shared_out(total: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to weights, adding up to the total."""
    given, owed, counts = 0, 0.0, []
    for weight in weights:
        owed += total * weight / sum(weights)
        counts.append(round(owed) - given)
        given = round(owed)
    return counts


# Clients of ServeGen.


def _client_sources(
    clients: Sequence[Client], calls: int, span_s: int, seed: int
) -> list[Iterator[tuple[float, Event]]]:
    chosen: list[Client] = []
    models: list[str] = []
    for kind, names in MODELS.items():
        of_kind = sorted((c for c in clients if c.kind == kind), key=_size, reverse=True)
        chosen += [c for c in of_kind if c.windows[0].start_s < span_s][:CLIENTS_PER_KIND]
        models += [names[i % len(names)] for i in range(len(chosen) - len(models))]
    # The largest client has ten thousand times the calls of a small one: roots keep the order and leave some for all.
    counts = _shared_out(calls, [_size(client) ** 0.4 for client in chosen])
    return [
        _client_source(
            client, model, count, span_s, random.Random(f"{seed} {client.kind} {client.name}"), place
        )
        for place, (client, model, count) in enumerate(zip(chosen, models, counts, strict=True))
    ]


def _size(client: Client) -> float:
    return sum(window.calls_per_s for window in client.windows)


def _client_source(
    client: Client, model: str, calls: int, span_s: int, rng: random.Random, place: int
) -> Iterator[tuple[float, Event]]:
    tenant = TENANTS[place % len(TENANTS)]
    feature = rng.choice(FEATURES[client.kind])
    prefix_tokens = rng.choice((0, 512, 1024, 2048))
    prompt_field = "text_tokens" if "text_tokens" in client.curves else "input_tokens"
    retried: Event | None = None
    for at_s in arrivals(client.windows, span_s, calls, rng):
        if retried is not None:
            yield at_s, {**retried, "attempt": 2, "status": "ok"}
            retried = None
            continue
        event = _call(tenant, feature, model, rng)
        prompt = prefix_tokens + round(client.curve(prompt_field, at_s).draw(rng))
        answer = round(client.curve("output_tokens", at_s).draw(rng))
        _set_tokens(event, prompt, answer, prefix_tokens if rng.random() < 0.8 else 0, rng)
        if "reason_ratio" in client.curves:
            share = min(client.curve("reason_ratio", at_s).draw(rng), 1.0)
            event["reasoning_tokens"] = int(answer * share)
        if rng.random() < 0.012:
            event["status"] = "error"
            retried = dict(event)
        _set_cost(event, rng)
        yield at_s, event


def _call(tenant: str, feature: str, model: str, rng: random.Random) -> Event:
    event: Event = {
        "tenant": tenant,
        "feature": feature,
        "model": model,
        "prompt_template": f"{feature}-v{rng.randint(1, 2)}",
    }
    if rng.random() < 0.9:
        # Few users make most calls.
        event["user"] = f"{tenant}-u{int(USERS_PER_TENANT * rng.random() ** 3)}"
    if model in PROVIDERS and rng.random() < 0.5:
        event["provider"] = PROVIDERS[model]
    if rng.random() < 0.02:
        event["batch"] = True
    return event


def _set_tokens(event: Event, prompt: int, answer: int, cached: int, rng: random.Random) -> None:
    event["input_tokens"], event["output_tokens"] = prompt, answer
    if cached := min(cached, prompt):
        event["cache_read_tokens"] = cached
    if event["model"].startswith("claude") and rng.random() < 0.05:
        event["cache_write_tokens"] = (prompt - cached) // 2
    if rng.random() < 0.5:
        event["latency_ms"] = round(200 + 20 * answer * rng.random(), 1)


def _set_cost(event: Event, rng: random.Random) -> None:
    """What the producer says of the cost: its own price, nothing, or that its own cache answered."""
    if rng.random() < 0.01:
        event["response_cache_hit"] = True
        event["response_cache"] = "exact"
    elif event["model"] in OWN_PRICES:
        input_usd, output_usd = map(Decimal, OWN_PRICES[event["model"]])
        usd = (event["input_tokens"] * input_usd + event["output_tokens"] * output_usd) / 1_000_000
        event["cost_usd"] = format(usd, "f")
    elif rng.random() < 0.5:
        event["cost_usd"] = None  # the same as not saying it


# Runs of coding agents.


def _agent_sources(
    runs: Sequence[Sequence[AgentRequest]], calls: int, span_s: int, seed: int
) -> list[Iterator[tuple[float, Event]]]:
    """As many runs, one after the other from the traces, as have the calls; the last one is cut short."""
    rng = random.Random(f"{seed} agents")
    sources: list[Iterator[tuple[float, Event]]] = []
    while calls > 0:
        requests = runs[len(sources) % len(runs)][:calls]
        calls -= len(requests)
        start_s = rng.uniform(0, max(span_s - _run_seconds(requests), 1))
        sources.append(_agent_run(requests, start_s, f"run-{len(sources):05d}", rng.choice(TENANTS)))
    return sources


def _run_seconds(requests: Sequence[AgentRequest]) -> float:
    return sum(request.api_s + min(request.think_s, THINK_SECONDS_MAX) for request in requests)


def _agent_run(
    requests: Sequence[AgentRequest], start_s: float, run_id: str, tenant: str
) -> Iterator[tuple[float, Event]]:
    at_s = start_s
    for step, request in enumerate(requests, 1):
        at_s += request.api_s + min(request.think_s, THINK_SECONDS_MAX)
        yield (
            at_s,
            {
                "tenant": tenant,
                "feature": "coding-agent",
                "model": request.model,
                "prompt_template": "agent-loop",
                "input_tokens": request.input_tokens,
                "output_tokens": request.output_tokens,
                "cache_read_tokens": request.cached_tokens,
                "run_id": run_id,
                "step": step,
                "depth": min(request.sub, 1),
                "tool_calls": int(request.uses_tool),
                "latency_ms": round(request.api_s * 1000),
            },
        )


# Mooncake and Azure: the lengths in their order, at an even pace.


def _exchange_source(
    exchanges: Sequence[Exchange], calls: int, span_s: int, rng: random.Random, feature: str
) -> Iterator[tuple[float, Event]]:
    for i in range(calls):
        exchange = exchanges[i % len(exchanges)]
        event = _call(
            "massive-dynamic",
            feature,
            "kimi-k2-0711-preview" if feature == "kb-chat" else "gpt-4.1-mini",
            rng,
        )
        _set_tokens(event, exchange.input_tokens, exchange.output_tokens, exchange.cached_tokens, rng)
        _set_cost(event, rng)
        yield span_s * (i + rng.random()) / calls, event


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--traces",
        type=Path,
        help="directory of the traces; default: ../shared/traces, else the packaged extract",
    )
    parser.add_argument("--calls", type=int, default=500_000)
    parser.add_argument("--days", type=float, default=14.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="default: standard output")
    options = parser.parse_args(arguments)
    traces = options.traces or (DEFAULT_TRACES if DEFAULT_TRACES.is_dir() else packaged())
    if options.out is None:
        write(traces, options.calls, options.days, options.seed, sys.stdout.buffer)
        return
    with options.out.open("wb") as out:
        write(traces, options.calls, options.days, options.seed, out)


if __name__ == "__main__":
    main(sys.argv[1:])
