"""The events that every contender reads: canonical JSON of about 570 bytes, the same bytes for the same arguments.

200 tenants, 40 features, 2,000 prompt templates, 5,000 users, each drawn by Zipf's law; a template belongs to one
feature and asks one of ten models, in one call of ten another (a fallback). Three calls of ten belong to an agent run
of about twenty calls. No producer says a cost, so every call is priced. One message of a hundred is an earlier one again,
byte for byte, as a producer that did not hear the ack sends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

MODELS: Final = (
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4o"),
    ("anthropic", "claude-sonnet-4-5"),
    ("google", "gemini-2.5-flash"),
    ("anthropic", "claude-haiku-4-5"),
    ("google", "gemini-2.5-pro"),
    ("openai", "o3-mini"),
    ("mistral", "mistral-large-latest"),
    ("groq", "llama-3.3-70b-versatile"),
    ("openai", "gpt-4.1"),
)
"""Provider and model; the price of each is known."""

CHUNK: Final = 50_000
"""Events are drawn so many at a time, each chunk from a generator of its own."""

DUPLICATES: Final = 0.01
REPEATED_WITHIN: Final = 20_000
"""A repeat follows its original within so many events."""

RUN_SHARE: Final = 0.3
RUN_EVERY: Final = 64
"""Events between the starts of two runs."""

START_MS: Final = 1_764_000_000_000
"""For tests. A live worker refuses events older than 30 days: give `Feed` a start near now."""


@dataclass(frozen=True)
class Feed:
    """What to draw.

    Attributes:
        count: messages, repeats among them.
        start_ms: event time of the first one.
        events_per_second: by event time.
        whale: share of one tenant beyond what Zipf's law gives it: 0.99 is the skew of docs/scaling.md.
    """

    count: int
    seed: int = 1
    start_ms: int = START_MS
    events_per_second: int = 50_000
    tenants: int = 200
    features: int = 40
    templates: int = 2_000
    users: int = 5_000
    whale: float = 0.0


class Chunk(NamedTuple):
    """Columns of n messages. `number` says which event a message is: the same number twice is a repeat."""

    number: Ints
    time_ms: Ints
    tenant: Ints
    feature: Ints
    template: Ints
    model: Ints
    user: Ints
    run: Ints
    input_tokens: Ints
    output_tokens: Ints
    cache_read_tokens: Ints
    attempt: Ints
    latency_ms: Ints
    failed: Ints

    def take(self, index: Ints) -> Chunk:
        """These messages, in this order."""
        return Chunk(*(column[index] for column in self))


def chunks(feed: Feed) -> Iterator[Chunk]:
    """The feed as columns, CHUNK messages at a time; the last one may be shorter. `run` is -1 where there is none."""
    for first in range(0, feed.count, CHUNK):
        count = min(CHUNK, feed.count - first)
        drawn = _draw(feed, np.random.default_rng([feed.seed, first // CHUNK]), first)
        yield drawn.take(np.arange(count))


def messages(feed: Feed) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each message, in order."""
    for chunk in chunks(feed):
        columns = zip(*(column.tolist() for column in chunk), strict=True)
        for row in columns:
            yield b"tenant-%03d" % row[2], _value(feed.seed, row)


def tenant(number: int) -> str:
    """Name of a tenant; the others likewise."""
    return f"tenant-{number:03d}"


def feature(number: int) -> str:
    """Name of a feature."""
    return f"feature-{number:02d}"


def template(number: int) -> str:
    """Name of a prompt template."""
    return f"template-{number:04d}"


def user(number: int) -> str:
    """Name of a user."""
    return f"user-{number:05d}"


def run(number: int) -> str:
    """Name of an agent run."""
    return f"run-{number:07d}"


def _draw(feed: Feed, random: np.random.Generator, first: int) -> Chunk:
    number = np.arange(first, first + CHUNK)
    templates = _zipf(random, feed.templates)
    tenants = _zipf(random, feed.tenants)
    tenants[random.random(CHUNK) < feed.whale] = 0
    prompts = np.minimum(random.lognormal(7.0, 1.0, CHUNK), 190_000).astype(np.int64) + 20
    fallback = (random.random(CHUNK) < 0.1) * random.integers(1, len(MODELS), CHUNK)
    events = Chunk(
        number=number,
        time_ms=feed.start_ms + number * 1000 // feed.events_per_second,
        tenant=tenants,
        feature=templates % feed.features,
        template=templates,
        model=(templates // feed.features + fallback) % len(MODELS),
        user=_zipf(random, feed.users),
        run=np.where(random.random(CHUNK) < RUN_SHARE, number // RUN_EVERY, -1),
        input_tokens=prompts,
        output_tokens=np.minimum(random.lognormal(5.0, 1.0, CHUNK), 60_000).astype(np.int64) + 1,
        cache_read_tokens=(prompts * random.random(CHUNK) * (random.random(CHUNK) < 0.3)).astype(np.int64),
        attempt=1 + (random.random(CHUNK) < 0.02),
        latency_ms=random.integers(200, 20_000, CHUNK),
        failed=(random.random(CHUNK) < 0.01).astype(np.int64),
    )
    back = np.where(random.random(CHUNK) < DUPLICATES, random.integers(1, REPEATED_WITHIN, CHUNK), 0)
    # Repeats stay within their chunk, so that each chunk stands alone.
    return events.take(np.maximum(np.arange(CHUNK) - back, 0))


def _zipf(random: np.random.Generator, size: int) -> Ints:
    """Numbers below `size`, each as likely as 1 / (1 + number)."""
    likely = np.cumsum(1 / np.arange(1, size + 1))
    return np.searchsorted(likely, random.random(CHUNK) * likely[-1], side="right")


def _value(seed: int, row: tuple[Any, ...]) -> bytes:
    (
        number, time_ms, tenant_, feature_, template_, model, user_, run_, input_, output, cache_read, attempt, latency_ms,
        failed,
    ) = row  # fmt: skip
    provider, name = MODELS[model]
    agent = f'"run_id":"run-{run_:07d}","step":{number % 50},"depth":{number % 3},' if run_ >= 0 else ""
    status = "error" if failed else "ok"
    return (
        f'{{"id":"call-{seed:04x}{number * 0x9E3779B97F4A7C15 % 2**64:016x}-{number:010d}","time":{time_ms},'
        f'"tenant":"tenant-{tenant_:03d}","feature":"feature-{feature_:02d}","model":"{name}","provider":"{provider}",'
        f'"input_tokens":{input_},"output_tokens":{output},"cost_usd":null,"cache_read_tokens":{cache_read},'
        f'"attempt":{attempt},"status":"{status}","latency_ms":{latency_ms},"prompt_template":"template-{template_:04d}",'
        f'"prompt_version":"v{template_ % 7}","user":"user-{user_:05d}",{agent}"application":"assistant",'
        f'"environment":"production","region":"eu-west-1","team":"team-{feature_ % 8}",'
        f'"trace_id":"{number * 0xD1B54A32D192ED03 % 2**64:032x}","span_id":"{number * 0x94D049BB133111EB % 2**64:016x}",'
        f'"labels":{{"gateway":"edge-{tenant_ % 4}","release":"2025.11.3"}}}}'
    ).encode()
