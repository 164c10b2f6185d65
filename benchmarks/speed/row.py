"""One row of the speed table: how it is measured, round by round, and what its rounds say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

Figures = dict[str, Any]
"""What one round measured; JSON."""


class Options(Struct, frozen=True):
    """What the command line chose.

    Attributes:
        events: messages of the feed.
        rounds: how many a row shall have in the end.
        deltas_partitions: of the measured installations; the default of the settings unless said.
        scale: of the sizes and times that the table fixes; below 1 to try a row out, and no result of ours.
    """

    events: int
    rounds: int
    deltas_partitions: int
    out: Path
    scale: float


class Line(Struct, frozen=True):
    """One printed line.

    Attributes:
        target: in words; empty where nothing is to be reached.
        figure: ours, with its unit. ratio: to the peer or the limit, with its spread.
        reached: None where nothing is to be reached.
    """

    what: str
    target: str
    figure: str
    ratio: str = ""
    spread: str = ""
    reached: bool | None = None

    @property
    def verdict(self) -> str:
        """Reached, or falls short."""
        return {None: "", True: "reached", False: "**falls short**"}[self.reached]


class Row(Struct, frozen=True):
    """A row.

    Attributes:
        measure: yields the figures of one round after another, for ever or until it has no more; the caller stops it.
        lines: what these rounds, at least one, say.
        rounds_max: more say nothing new.
    """

    name: str
    title: str
    measure: Callable[[Options], Iterator[Figures]]
    lines: Callable[[Sequence[Figures]], list[Line]]
    rounds_max: int = 100


def say(text: str) -> None:
    """Progress."""
    print(f"  {text}", flush=True)
