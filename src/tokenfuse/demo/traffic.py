"""The company's traffic: two weeks of history, then three hours in which two things go wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from tokenfuse.demo.arrivals import DAY_S, arrivals
from tokenfuse.demo.company import (
    AGENT_FEATURE,
    AGENT_RUNS_PER_DAY,
    AGENT_TEMPLATE,
    AGENT_TENANT,
    CONTRACTS,
    FEATURES,
    SUPPORT,
    Feature,
)
from tokenfuse.demo.traces import AgentRequest, Client, read_agent_runs, read_clients

HISTORY_S: Final = 14 * DAY_S
RECENT_S: Final = 3 * 3600
SPAN_S: Final = HISTORY_S + RECENT_S

HISTORY_STEP_S: Final = 3600
"""History comes as from an hourly export: baselines are learned by the hour, and a rollup for each of 20,000 minutes and
every scope would take longer to publish than anybody watches a demo."""

PROMPT_GROWS_S: Final = 1800
"""Seconds into the recent hours. From here on somebody adds a few more documents to every prompt of contract-review."""

PROMPT_FULL_S: Final = 5400
PROMPT_GROWTH: Final = 8.0
"""The prompts are then so many times as long. With four times it depended on the minute of the hour whether they cost a page's $1.25."""

CACHE_COLLAPSES_S: Final = 5400
"""From here on support-chat puts the date at the head of its prompt: no prefix is ever found in the cache again."""

AGENT_STEPS_MAX: Final = 15
THINK_S_MAX: Final = 60.0

Event = dict[str, Any]


class Timed(Struct, frozen=True):
    """One event and its time, milliseconds since the epoch; the event says the same time itself."""

    at_ms: int
    event: Event


class Traffic:
    """Everything that happens before the demo's present, by a seed; the same arguments give the same events.

    Attributes:
        history: the two weeks, in order. recent: the three hours after them, up to `now_ms`.
    """

    def __init__(self, traces: Path, now_ms: int, seed: int, density: float = 1.0) -> None:
        """Make it.

        Args:
            density: multiplies every feature's calls per hour.
        """
        clients = {(client.kind, client.name): client for client in read_clients(traces)}
        self.runs = read_agent_runs(traces)
        self._start_ms = now_ms - SPAN_S * 1000
        made = [
            *self._agents(random.Random(f"{seed} agents")),
            *(
                each
                for feature in FEATURES
                for each in self._feature(feature, clients[feature.kind, feature.client], density, seed)
            ),
        ]
        made.sort(key=lambda timed: (timed.at_ms, timed.event["id"]))
        recent_ms = self._start_ms + HISTORY_S * 1000
        place = next((i for i, timed in enumerate(made) if timed.at_ms >= recent_ms), len(made))
        self.history, self.recent = made[:place], made[place:]

    def _feature(self, feature: Feature, client: Client, density: float, seed: int) -> Iterator[Timed]:
        rng = random.Random(f"{seed} {feature.name}")
        calls = round(feature.calls_per_hour * density * SPAN_S / 3600)
        prompt_field = "text_tokens" if "text_tokens" in client.curves else "input_tokens"
        for number, at_s in enumerate(arrivals(client.windows, SPAN_S, calls, rng)):
            prompt = feature.prefix_tokens + round(client.curve(prompt_field, at_s).draw(rng))
            answer = max(1, round(client.curve("output_tokens", at_s).draw(rng)))
            event = _call(feature, f"{feature.name}-{number}", prompt, answer)
            event["user"] = f"{feature.tenant}-{int(feature.users * rng.random() ** 3):02d}"
            if rng.random() < feature.cached_share:
                event["cache_read_tokens"] = feature.prefix_tokens
            if "reason_ratio" in client.curves:
                event["reasoning_tokens"] = int(
                    answer * min(client.curve("reason_ratio", at_s).draw(rng), 1.0)
                )
            change = CHANGES.get(feature.name)
            if change is not None and at_s >= HISTORY_S:
                change(event, at_s - HISTORY_S)
            yield self._timed(at_s, event)

    def _agents(self, rng: random.Random) -> Iterator[Timed]:
        """Ordinary runs of the coding agent, at any time of the day."""
        for number in range(AGENT_RUNS_PER_DAY * HISTORY_S // DAY_S):
            requests = self.runs[number % len(self.runs)][:AGENT_STEPS_MAX]
            at_s = rng.uniform(0, HISTORY_S)
            for step, request in enumerate(requests, 1):
                at_s += request.api_s + min(request.think_s, THINK_S_MAX)
                if at_s < SPAN_S:
                    yield self._timed(at_s, agent_call(request, f"task-{number:03d}", step, 0))

    def _timed(self, at_s: float, event: Event) -> Timed:
        if at_s < HISTORY_S:
            at_s -= at_s % HISTORY_STEP_S
        at_ms = self._start_ms + int(at_s * 1000)
        event["time"] = at_ms
        return Timed(at_ms, event)


def agent_call(request: AgentRequest, run_id: str, step: int, depth: int) -> Event:
    """One step of the coding agent, without its time."""
    return {
        "id": f"{run_id}-{step}",
        "tenant": AGENT_TENANT,
        "feature": AGENT_FEATURE,
        "model": request.model,
        "prompt_template": AGENT_TEMPLATE,
        "input_tokens": request.input_tokens,
        "output_tokens": request.output_tokens,
        "cache_read_tokens": request.cached_tokens,
        "tool_calls": int(request.uses_tool),
        "run_id": run_id,
        "step": step,
        "depth": depth,
    }


def runaway(runs: Sequence[Sequence[AgentRequest]], run_id: str) -> Iterator[Event]:
    """A run without end: every step starts another sub-agent, deeper than the last, that reads everything anew."""
    longest = max(runs, key=lambda run: max(request.input_tokens for request in run))
    largest = sorted(longest, key=lambda request: request.input_tokens)[-8:]
    step = 0
    while True:
        for request in largest:
            step += 1
            event = agent_call(request, run_id, step, step // 4)
            event["cache_read_tokens"] = 0  # a new sub-agent has a prompt of its own
            yield event


def _call(feature: Feature, id_: str, prompt: int, answer: int) -> Event:
    return {
        "id": id_,
        "tenant": feature.tenant,
        "feature": feature.name,
        "model": feature.model,
        "prompt_template": feature.prompt_template,
        "input_tokens": prompt,
        "output_tokens": answer,
    }


def _grow_prompt(event: Event, at_s: float) -> None:
    grown = (at_s - PROMPT_GROWS_S) / (PROMPT_FULL_S - PROMPT_GROWS_S)
    event["input_tokens"] = round(
        event["input_tokens"] * (1 + (PROMPT_GROWTH - 1) * min(max(grown, 0.0), 1.0))
    )


def _collapse_cache(event: Event, at_s: float) -> None:
    if at_s >= CACHE_COLLAPSES_S:
        event.pop("cache_read_tokens", None)


CHANGES: Final[dict[str, Callable[[Event, float], None]]] = {
    CONTRACTS.name: _grow_prompt,
    SUPPORT.name: _collapse_cache,
}
"""What goes wrong in the recent hours, by feature."""

MISHAPS: Final = (
    (PROMPT_GROWS_S, f"{CONTRACTS.name} begins to put more and more documents into its prompts"),
    (
        CACHE_COLLAPSES_S,
        f"{SUPPORT.name} begins its prompts with the date: nothing is found in the cache any more",
    ),
)
"""The same for people: seconds into the recent hours, and what happens."""
