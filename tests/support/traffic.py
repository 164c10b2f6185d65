"""Calls from a seed, and the sums that they must make, straight from the events in plain integers."""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from decimal import Decimal
from typing import Any

from tests.support.topic_reader import Totals

AXES = ("tenant", "feature", "model", "prompt_template", "user", "run_id")


class Traffic:
    """Distinct calls of the last minute, some of them sent twice.

    Attributes:
        events: every call so far, once.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.events: list[dict[str, Any]] = []

    def more(self, count: int) -> list[bytes]:
        """The next messages: this many new calls, one in twelve twice."""
        messages = []
        for _ in range(count):
            event = self._event(len(self.events))
            self.events.append(event)
            message = json.dumps(event).encode()
            messages += [message] * (1 + (self._rng.random() < 1 / 12))
        return messages

    @property
    def truth(self) -> Totals:
        """Sums per scope, in the order of `topic_reader.MEASURES`."""
        sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * 6)
        for event in self.events:
            row = (
                1, int(Decimal(event["cost_usd"]) * 10**9), event["input_tokens"], event["output_tokens"],
                event["cache_read_tokens"], int(event["attempt"] > 1),
            )  # fmt: skip
            for scope in [*((axis, event[axis]) for axis in AXES if event[axis] is not None), ("global", "")]:
                sums[scope] = [a + b for a, b in zip(sums[scope], row, strict=True)]
        return {scope: tuple(row) for scope, row in sums.items()}

    def _event(self, number: int) -> dict[str, Any]:
        rng = self._rng
        tokens = rng.randrange(100, 20_000)
        return {
            "id": f"call-{number}",
            "time": round(time.time() - rng.uniform(0, 60), 3),
            "tenant": f"tenant-{rng.randrange(12)}",
            "feature": f"feature-{rng.randrange(5)}",
            "model": rng.choice(["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-20250514"]),
            "prompt_template": f"template-{rng.randrange(20)}" if rng.random() < 0.8 else None,
            "user": f"user-{rng.randrange(60)}" if rng.random() < 0.9 else None,
            "run_id": f"run-{number // 50}" if rng.random() < 0.3 else None,
            "input_tokens": tokens,
            "output_tokens": rng.randrange(1, 900),
            "cache_read_tokens": rng.randrange(0, tokens),
            "attempt": 1 + (rng.random() < 0.03),
            "cost_usd": str(Decimal(rng.randrange(1, 10**7)) / 10**9),
        }
