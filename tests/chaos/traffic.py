"""Traffic from a seed: calls in several formats, said twice, late, corrected, skewed, shuffled, refused.

What each message means stands beside it as a `Fact` in plain integers, so that the truth needs no code of the product.
Content and order are a function of the seed; only the wall time at which the run begins is not.
"""

from __future__ import annotations

import json
import random
import zlib
from collections import deque
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MEASURES: Final = (
    "calls", "cost_nanousd", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
    "reasoning_tokens", "context_tokens", "retries", "errors", "tool_calls",
)  # fmt: skip
AXES: Final = ("tenant", "feature", "model", "prompt_template", "user", "run_id")
PAST_MS: Final = 3_600_000
"""The first calls are from an hour ago: beyond any horizon when they are corrected."""

BURST_SECONDS: Final = 60
"""A bursting tenant spends for a quarter of this, then is silent, so that its one-minute cap is breached and cleared."""

RUN_IDLE_MS: Final = 2 * 86_400_000
"""A run without calls for so long is forgotten, once its totals are out."""

MODELS: Final = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-20250514")
SHUFFLED: Final = 40


class Call(NamedTuple):
    """What one attempt adds to the sums of its scopes. `scopes`: (axis, value); `sums`: in the order of MEASURES."""

    scopes: tuple[tuple[str, str], ...]
    sums: tuple[int, ...]


class Fact(NamedTuple):
    """What a message means. `refused`: the reason of the dead letter that it must become."""

    id: str
    revision: int
    call: Call | None
    replaces: Call | None
    refused: str | None


class Message(NamedTuple):
    """One record of the source topic. `due_s`: seconds after the start of the run at which it is sent."""

    partition: int
    key: bytes
    value: bytes
    fact: Fact
    due_s: float


@dataclass(frozen=True)
class Event:
    """A call as its producer knows it."""

    id: str
    revision: int
    time_ms: int
    axes: dict[str, str | None]
    nanousd: int
    tokens: dict[str, int]
    attempt: int = 1
    status: str = "ok"
    form: str = "canonical"
    extra: dict[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """Of a canonical event, without id and revision."""
        return {
            "time": self.time_ms / 1000, **self.axes, **self.tokens,
            "cost_usd": str(Decimal(self.nanousd) / 10**9), "attempt": self.attempt, "status": self.status,
        }  # fmt: skip

    def call(self) -> Call:
        """In plain integers."""
        scopes = tuple((axis, value) for axis in AXES if (value := self.axes[axis]) is not None)
        names = MEASURES[2:8]
        sums = (
            1, self.nanousd, *(self.tokens.get(name, 0) for name in names), int(self.attempt > 1),
            int(self.status in ("error", "aborted")), self.tokens.get("tool_calls", 0),
        )  # fmt: skip
        return Call((*scopes, ("global", "")), sums)


class Traffic:
    """Messages in the order in which they are to be sent.

    Args:
        seed: of everything.
        base_ms: wall time at which the run begins.
        per_second: messages.
        partitions: of the source topic.
    """

    def __init__(self, seed: int, base_ms: int, per_second: float, partitions: int) -> None:
        self._rng = random.Random(f"traffic {seed}")
        self._base_ms, self._per_second, self._partitions = base_ms, per_second, partitions
        self._recent: deque[tuple[float, Event, bytes]] = deque(maxlen=int(per_second * 40))
        self._revisions: dict[str, int] = {}
        self._past: list[Event] = []
        self._number = 0

    def past(self, count: int) -> list[Message]:
        """What was said an hour ago: stamp these records so."""
        events = [
            self._event(f"past-{n}", self._base_ms - PAST_MS, at_s=-PAST_MS / 1000) for n in range(count)
        ]
        self._past = self._rng.sample(events, count)
        return [self._message(event, 0.0) for event in events]

    def stream(self, from_s: float, until_s: float) -> Iterator[Message]:
        """One stretch of the run; stretches follow each other."""
        batch: list[Message] = []
        for n in range(int(from_s * self._per_second), int(until_s * self._per_second)):
            batch.append(self._next(n / self._per_second))
            if len(batch) == SHUFFLED:
                yield from self._ordered(batch)
                batch = []
        yield from batch

    def _ordered(self, batch: list[Message]) -> list[Message]:
        """One batch in ten arrives in any order, as from a producer that retried."""
        return self._rng.sample(batch, len(batch)) if self._rng.random() < 0.1 else batch

    def _next(self, at_s: float) -> Message:
        dice = self._rng.random()
        if dice < 0.03 and self._recent:
            _, event, value = self._rng.choice(self._recent)
            return self._message(event, at_s, value)
        if dice < 0.05 and self._recent:
            return self._corrected(self._rng.choice(self._recent)[1], at_s)
        if dice < 0.06 and self._past:
            return self._beyond_the_horizon(self._past.pop(), at_s)
        if dice < 0.064:
            return self._refused(at_s)
        self._number += 1
        event = self._event(f"call-{self._number}", self._base_ms + int(at_s * 1000), at_s)
        message = self._message(event, at_s)
        self._recent.append((at_s, event, message.value))
        return message

    def _event(self, id_: str, now_ms: int, at_s: float) -> Event:
        rng = self._rng
        input_tokens, output_tokens = rng.randrange(100, 20_000), rng.randrange(1, 900)
        read = rng.randrange(input_tokens // 2)
        tokens = {
            "input_tokens": input_tokens, "output_tokens": output_tokens, "cache_read_tokens": read,
            "cache_write_tokens": rng.randrange(input_tokens - read), "reasoning_tokens": rng.randrange(output_tokens),
            "context_tokens": rng.randrange(100), "tool_calls": rng.choice((0, 0, 0, 2)),
        }  # fmt: skip
        tenant = self._tenant(at_s)
        axes = {
            "tenant": tenant, "feature": f"feature-{rng.randrange(12)}", "model": rng.choice(MODELS),
            "prompt_template": f"template-{rng.randrange(60)}" if rng.random() < 0.8 else None,
            "user": f"user-{rng.randrange(600)}" if rng.random() < 0.9 else None,
            "run_id": f"run-{self._number // 40}" if rng.random() < 0.3 else None,
        }  # fmt: skip
        event = Event(
            id_, 0, self._time_ms(now_ms), axes, rng.randrange(1, 10**7), tokens,
            attempt=1 + (rng.random() < 0.03), status=rng.choices(("ok", "error"), (97, 3))[0],
            form=rng.choices(("canonical", "cloudevent", "litellm"), (8, 1, 1))[0],
        )  # fmt: skip
        if axes["run_id"] and event.time_ms < now_ms - RUN_IDLE_MS:
            # Runs that are idle when their calls come: their scopes are evicted, and made again by a correction.
            event.axes["run_id"] = f"run-of-then-{self._number % 5}"
        return _as_litellm(event) if event.form == "litellm" else event

    def _tenant(self, at_s: float) -> str:
        """One call in three is of the tenants that burst at that time."""
        bursting = [n for n in range(8) if (at_s + n * BURST_SECONDS / 8) % BURST_SECONDS < BURST_SECONDS / 4]
        if self._rng.random() < 0.3:
            number = self._rng.choice(bursting)
            return f"{'burst' if number % 2 else 'warm'}-{number}"
        return f"tenant-{self._rng.randrange(40)}"

    def _time_ms(self, now_ms: int) -> int:
        """A moment ago; at times minutes or weeks ago, or a little in the future."""
        dice, rng = self._rng.random(), self._rng
        if dice < 0.02:
            return now_ms - rng.randrange(60_000, 50 * 60_000)
        if dice < 0.03:
            return now_ms - rng.randrange(3_600_000, 28 * 86_400_000)
        if dice < 0.04:
            return now_ms + rng.randrange(300_000)
        return now_ms - rng.randrange(3000)

    def _corrected(self, event: Event, at_s: float) -> Message:
        """The next revision of a call: other tokens, other cost, at times another feature."""
        revision = self._revisions[event.id] = self._revisions.get(event.id, 0) + 1
        tokens = {**event.tokens, "input_tokens": event.tokens["input_tokens"] + self._rng.randrange(50)}
        axes = event.axes if self._rng.random() < 0.7 else {**event.axes, "feature": "feature-corrected"}
        event = replace(
            event,
            revision=revision,
            tokens=tokens,
            axes=axes,
            nanousd=self._rng.randrange(1, 10**7),
            form="canonical",
        )
        return self._message(event, at_s)

    def _beyond_the_horizon(self, event: Event, at_s: float) -> Message:
        """Its original is forgotten: three in four say what they replace, the fourth cannot be believed."""
        says = self._rng.random() < 0.75
        revised = replace(event, revision=1, nanousd=self._rng.randrange(1, 10**7), form="canonical")
        revised = replace(revised, time_ms=self._base_ms + int(at_s * 1000) - PAST_MS)
        extra = {"replaces": event.fields()} if says else {}
        return self._message(replace(revised, extra=extra), at_s, replaces=event.call() if says else None)

    def _refused(self, at_s: float) -> Message:
        bad, reason = self._rng.choice((
            (b'{"id": "x', "malformed_json"), (b"[1]", "not_an_object"), (b'{"id":"\xff"}', "invalid_utf8"),
            (self._value(replace(self._event("old", self._base_ms, 0), time_ms=self._base_ms - 40 * 86_400_000,
                                 form="canonical")), "time_too_old"),
        ))  # fmt: skip
        key = f"tenant-{self._rng.randrange(40)}"
        return Message(self._partition(key), key.encode(), bad, Fact("", 0, None, None, reason), at_s)

    def _message(
        self, event: Event, at_s: float, value: bytes | None = None, replaces: Call | None = None
    ) -> Message:
        key = event.axes["tenant"] or ""
        fact = Fact(event.id, event.revision, event.call(), replaces, None)
        return Message(self._partition(key), key.encode(), value or self._value(event), fact, at_s)

    def _partition(self, key: str) -> int:
        return zlib.crc32(key.encode()) % self._partitions

    def _value(self, event: Event) -> bytes:
        fields = {"id": event.id, "revision": event.revision, **event.fields(), **event.extra}
        if event.form == "cloudevent":
            fields = {
                "specversion": "1.0", "id": event.id, "source": "chaos", "type": "io.tokenfuse.cost_event.v1", "data": fields,
            }  # fmt: skip
        if event.form == "litellm":
            return _litellm_value(event)
        return json.dumps(fields).encode()


def _as_litellm(event: Event) -> Event:
    """Only what that format says."""
    tokens = {**event.tokens, "tool_calls": 0, "context_tokens": 0}
    return replace(event, tokens=tokens, attempt=1, status="ok")


def _litellm_value(event: Event) -> bytes:
    tokens = event.tokens
    metadata = {
        name: event.axes[name] for name in ("feature", "prompt_template", "run_id") if event.axes[name]
    }
    usage = {
        "prompt_tokens_details": {
            "cached_tokens": tokens["cache_read_tokens"], "cache_creation_tokens": tokens["cache_write_tokens"],
        },
        "completion_tokens_details": {"reasoning_tokens": tokens["reasoning_tokens"]},
    }  # fmt: skip
    record = {
        "id": event.id, "litellm_call_id": event.id, "call_type": "acompletion", "status": "success",
        "endTime": event.time_ms / 1000, "model": event.axes["model"], "end_user": event.axes["user"] or "",
        "prompt_tokens": tokens["input_tokens"], "completion_tokens": tokens["output_tokens"],
        "metadata": {
            "user_api_key_team_alias": event.axes["tenant"], "requester_metadata": metadata, "usage_object": usage,
        },
    }  # fmt: skip
    # As a number with all its digits: the shortest decimal, never a float of ours.
    cost = f'"response_cost": {Decimal(event.nanousd) / 10**9:f}'
    return (json.dumps(record)[:-1] + ", " + cost + "}").encode()
