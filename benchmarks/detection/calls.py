"""Calls as columns: one structured array, so that a seed of millions of calls is sorted, copied and changed at once."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

CALL: Final = np.dtype(
    [
        ("time_ms", "i8"),  # when the call ended, by the producer's clock
        ("arrive_ms", "i8"),  # when the event reached the topic
        ("number", "i8"),  # identity; the same call has it in the run and in the counterfactual
        ("cell", "i2"),  # tenant and feature: index into the company's cells
        ("model", "i1"),
        ("user", "i2"),
        ("input", "i4"),  # tokens
        ("output", "i4"),
        ("cached", "i4"),
        ("reasoning", "i4"),
        ("attempt", "i1"),
        ("failed", "?"),
        ("latency_ms", "i4"),
        ("run", "i4"),  # agent run, -1: none
        ("parent", "i4"),  # run that started it, -1: none
        ("step", "i2"),
        ("depth", "i1"),
        ("signature", "i8"),  # of the tool call, -1: none
        ("cost", "i8"),  # nano-dollars
        ("incident", "i2"),  # that touched the call, -1: none
    ]
)

Calls = npt.NDArray[np.void]
"""Structured array of CALL."""

LATE_MS_MEAN: Final = 400
"""Events reach a topic within seconds; out of order among producers."""


def new(count: int) -> Calls:
    """Calls with nothing set: no run, no retry, no incident."""
    calls = np.zeros(count, CALL)
    calls["attempt"] = 1
    for name in ("run", "parent", "signature", "incident"):
        calls[name] = -1
    return calls


def arrive(calls: Calls, rng: np.random.Generator) -> None:
    """Set when events reach the topic: shortly after the call."""
    delay = np.minimum(rng.exponential(LATE_MS_MEAN, len(calls)), 5_000)
    calls["arrive_ms"] = calls["time_ms"] + delay.astype(np.int64)
