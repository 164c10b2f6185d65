"""Half a million calls drawn from the real traces: exact to the nano-dollar, the same bytes, whatever the order."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from genai_prices import Usage, calc_price

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
CALLS = 500_000
# A slice ends with every ten seconds of event time, so a replay costs by its span too.
DAYS = 0.1
SHUFFLED_SECONDS = 60.0
DOUBLED_SHARE = 0.05
OUTPUTS = {"totals.jsonl", "alerts.jsonl", "killswitch.jsonl", "deadletter.jsonl", "summary.json"}
AXES = ("tenant", "feature", "model", "prompt_template", "user", "run_id")
# What the README promises of models without a known price: dollars per million tokens.
UNKNOWN = {"input": "15", "output": "75", "cache_read": "15", "cache_write": "18.75", "reasoning": "75"}

Totals = dict[tuple[str, str], Counter[str]]
"""By axis and value: every measure of `totals.jsonl`."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_half_a_million_calls_are_exact_and_repeatable_whatever_their_order(tmp_path):
    """One story, since its three replays are the longest work of the suite; they run side by side."""
    file, mixed = tmp_path / "events.jsonl", tmp_path / "disordered.jsonl"
    make_events(file, CALLS, DAYS)
    small = tmp_path / "small.jsonl"
    make_events(small, CALLS // 5, DAYS / 5)
    runs = [
        replay(part, tmp_path / out) for part, out in ((file, "first"), (small, "once"), (small, "again"))
    ]
    try:
        doubled = disorder(file, mixed)
        runs.append(replay(mixed, tmp_path / "disordered"))
        expected = sums(read(file))
        for run in runs:
            output, _ = run.communicate()
            print(output.decode())
            assert run.returncode == 0
    finally:
        for run in runs:
            run.kill()
            run.wait()

    totals_are(expected, tmp_path / "first", events=CALLS, duplicates=0)
    same_bytes(tmp_path / "once", tmp_path / "again")
    totals_are(expected, tmp_path / "disordered", events=CALLS, duplicates=doubled)
    assert (tmp_path / "disordered/totals.jsonl").read_bytes() == (
        tmp_path / "first/totals.jsonl"
    ).read_bytes()
    # Without transitions the bytes above would be equal because they are none.
    alerts = list(read(tmp_path / "first/alerts.jsonl"))
    assert {"firing", "resolved"} <= {alert["state"] for alert in alerts}
    assert "cap" in {alert["kind"] for alert in alerts}


def make_events(file: Path, calls: int, days: float) -> None:
    """The script takes the packaged extract where the whole traces are absent."""
    arguments = ["--calls", str(calls), "--days", str(days), "--seed", "1", "--out", str(file)]
    subprocess.run([sys.executable, ROOT / "benchmarks/traces_to_events.py", *arguments], check=True)


def replay(file: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "tokenfuse.cli.main",
        "replay",
        str(file),
        "--rules",
        str(ROOT / "rules"),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOKENFUSE_")}
    return subprocess.Popen(
        [*command, "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )


def disorder(file: Path, target: Path) -> int:
    """Writes the lines out of order by up to a minute, some of them twice; returns how many are doubles."""
    rng = random.Random(2)
    lines = file.read_bytes().splitlines(keepends=True)
    times = [datetime.fromisoformat(event["time"]).timestamp() for event in read(file)]
    doubles = rng.sample(range(len(lines)), int(len(lines) * DOUBLED_SHARE))
    places = [(times[n] + rng.uniform(0, SHUFFLED_SECONDS), n) for n in [*range(len(lines)), *doubles]]
    target.write_bytes(b"".join(lines[n] for _, n in sorted(places)))
    return len(doubles)


def totals_are(expected: Totals, out: Path, *, events: int, duplicates: int) -> None:
    """To the nano-dollar, every measure of every axis value, and no value too many."""
    found = {(line["axis"], line["value"]): line for line in read(out / "totals.jsonl")}
    assert found.keys() == expected.keys()
    for (axis, value), total in expected.items():
        assert found[axis, value] == {"axis": axis, "value": value, **total}, (axis, value)
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["events"], summary["duplicates"], summary["dead_letters"]) == (events, duplicates, {})


def same_bytes(first: Path, second: Path) -> None:
    assert {file.name for file in first.iterdir()} == OUTPUTS
    for name in OUTPUTS:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_every_way_of_counting_a_call_is_in_the_events_and_by_hand_it_costs_what_genai_prices_says(tmp_path):
    """The other way of pricing below is itself right, and has something to do."""
    make_events(tmp_path / "events.jsonl", 40_000, 1)
    seen: Counter[str] = Counter()
    for number, event in enumerate(read(tmp_path / "events.jsonl")):
        seen.update(ways(event))
        if number % 20 == 0 and (prices := unit_prices(event)) is not None:
            assert nanousd(by_hand(event, prices)) == nanousd(calculated(event, usage(event)).total_price), (
                event
            )

    for way in ("own price", "cache hit", "unknown model", "list price", "retry", "batch", "cached", "run"):
        assert seen[way] > 100, seen


def usage(event: dict[str, Any]) -> Usage:
    return Usage(
        input_tokens=event["input_tokens"],
        output_tokens=event["output_tokens"],
        cache_read_tokens=event.get("cache_read_tokens", 0),
        cache_write_tokens=event.get("cache_write_tokens", 0),
        output_reasoning_tokens=event.get("reasoning_tokens", 0),
    )


def ways(event: dict[str, Any]) -> Iterator[str]:
    if event.get("cost_usd") is not None:
        yield "own price"
    elif event.get("response_cache_hit"):
        yield "cache hit"
    else:
        yield "unknown model" if unit_prices(event) is None else "list price"
    yield from ["retry"] if event.get("attempt", 1) > 1 else []
    yield from ["batch"] if event.get("batch") else []
    yield from ["cached"] if event.get("cache_read_tokens") else []
    yield from ["run"] if "run_id" in event else []


def read(file: Path) -> Iterator[dict[str, Any]]:
    with file.open("rb") as lines:
        yield from (json.loads(line) for line in lines)


# The sums, another way: Decimal dollars per call from the JSON, with unit prices as genai-prices says them.


def sums(events: Iterable[dict[str, Any]]) -> Totals:
    totals: Totals = {}
    for event in events:
        usd, unpriced = cost_usd(event)
        counts = {
            "calls": 1,
            "cost_nanousd": nanousd(usd),
            "input_tokens": event["input_tokens"],
            "output_tokens": event["output_tokens"],
            "cache_read_tokens": event.get("cache_read_tokens", 0),
            "cache_write_tokens": event.get("cache_write_tokens", 0),
            "retries": int(event.get("attempt", 1) > 1),
            "unpriced": int(unpriced),
        }
        for axis in AXES:
            if axis in event:
                totals.setdefault((axis, event[axis]), Counter(dict.fromkeys(counts, 0))).update(counts)
    return totals


def cost_usd(event: dict[str, Any]) -> tuple[Decimal, bool]:
    if event.get("cost_usd") is not None:
        return Decimal(event["cost_usd"]), False
    if event.get("response_cache_hit"):
        return Decimal(0), False
    prices = unit_prices(event)
    if prices is None:
        return by_hand(event, {name: Decimal(usd) for name, usd in UNKNOWN.items()}), True
    return by_hand(event, prices), False


def by_hand(event: dict[str, Any], prices: dict[str, Any]) -> Decimal:
    """Dollars: tokens by kind times dollars per million; above a threshold of input tokens all cost the higher price."""
    read, write = event.get("cache_read_tokens", 0), event.get("cache_write_tokens", 0)
    reasoning = event.get("reasoning_tokens", 0)
    tokens = {
        "input": event["input_tokens"] - read - write,
        "cache_read": read,
        "cache_write": write,
        "output": event["output_tokens"] - reasoning,
        "reasoning": reasoning,
    }
    total = sum(count * at(prices[kind], event["input_tokens"]) for kind, count in tokens.items())
    return Decimal(total) / 1_000_000


def at(price: Any, input_tokens: int) -> Decimal:
    if isinstance(price, Decimal):
        return price
    reached = [tier for tier in price.tiers if input_tokens > tier.start]
    return max(reached, key=lambda tier: tier.start).price if reached else price.base


_PRICES: dict[tuple[Any, ...], dict[str, Any] | None] = {}


def unit_prices(event: dict[str, Any]) -> dict[str, Any] | None:
    """Dollars per million tokens by kind, from genai-prices; None: it does not know the model."""
    # DeepSeek's prices depend on the time of the day, the others' on the date.
    minute = event["time"][:16] if event["model"].startswith("deepseek") else event["time"][:10]
    key = (event["model"], event.get("provider"), event.get("batch", False), minute)
    if key not in _PRICES:
        try:
            price = calculated(event, Usage(input_tokens=1, output_tokens=1)).model_price
        except LookupError:
            _PRICES[key] = None
        else:
            _PRICES[key] = {
                "input": price.input_mtok,
                "output": price.output_mtok,
                "cache_read": first_of(price.cache_read_mtok, price.input_mtok),
                "cache_write": first_of(price.cache_write_mtok, price.input_mtok),
                "reasoning": first_of(getattr(price, "output_reasoning_mtok", None), price.output_mtok),
            }
    return _PRICES[key]


def first_of(own: Any, general: Any) -> Any:
    return general if own is None else own


def calculated(event: dict[str, Any], used: Usage) -> Any:
    return calc_price(
        used,
        event["model"],
        provider_id=event.get("provider"),
        genai_request_timestamp=datetime.fromisoformat(event["time"]),
        price_context={"processing": "batch"} if event.get("batch") else None,
    )


def nanousd(usd: Decimal) -> int:
    return int((usd * 10**9).to_integral_value(rounding=ROUND_HALF_EVEN))
