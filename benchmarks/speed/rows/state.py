"""State: bytes per scope, what cost per event does as scopes grow, and the size of checkpoints. In one process, without Kafka."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.speed.row import Figures, Line, Options, Row

MODULE: Final = "benchmarks.speed.state"


def measure(options: Options) -> Iterator[Figures]:  # noqa: ARG001 - every row takes them
    """Waits for `benchmarks/speed/state.py`."""
    if importlib.util.find_spec(MODULE) is None:
        raise RuntimeError(f"{MODULE} is not there yet")
    raise RuntimeError(f"{MODULE} is there: call it here")
    yield {}


def lines(rounds: Sequence[Figures]) -> list[Line]:
    """What was measured."""
    return [Line(name, "", str(figure)) for name, figure in rounds[-1].items()]


ROW: Final = Row("state", "State", measure, lines)
