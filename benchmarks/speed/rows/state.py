"""State: bytes per scope, what cost per event does as scopes grow, and the size of checkpoints. In one process, without Kafka."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.speed.row import Figures, Line, Options, Row
from benchmarks.speed.state import event_figures, state_figures

SCOPES: Final = 1_000_000


def measure(options: Options) -> Iterator[Figures]:
    """One round; it is the same every time but for the machine."""
    scopes = max(int(SCOPES * options.scale), 100)
    few, many = event_figures(100), event_figures(scopes)
    yield state_figures(scopes) | {
        "cpu_us_per_event_at_100_scopes": few["cpu_us_per_event"],
        "cpu_us_per_row_at_100_scopes": few["cpu_us_per_row"],
        "cpu_us_per_event": many["cpu_us_per_event"],
        "cpu_us_per_row": many["cpu_us_per_row"],
    }


def lines(rounds: Sequence[Figures]) -> list[Line]:
    """What was measured."""
    return [Line(name, "", str(figure)) for name, figure in rounds[-1].items()]


ROW: Final = Row("state", "State", measure, lines)
