"""What the demo promises to show, and whether it was seen."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Step(StrEnum):
    """Steps in the order in which they are checked; the value is what the summary says."""

    LEARNED = "two weeks of history are in the totals"
    PROMPT = "the growing prompt was told, with its cause in dollars"
    CACHE = "the collapsed cache was told, with its cause in dollars"
    RUNAWAY = "the runaway agent was told, over its run's cap"
    ENGAGED = "the kill switch for that run was engaged"
    REFUSED = "the sample gateway refused the run's next call"
    RELEASED = "an operator's release let the run through again"
    EXACT = "totals equal what was published, to the nano-dollar"


class Seen(Struct, frozen=True):
    """A step that happened, and what was seen."""

    step: Step
    detail: str


class Checklist:
    """Steps seen so far."""

    def __init__(self) -> None:
        self._seen: dict[Step, Seen] = {}

    def tick(self, step: Step, detail: str) -> None:
        """The step was seen; the first time counts."""
        self._seen.setdefault(step, Seen(step, detail))

    def seen(self, step: Step) -> Seen | None:
        """The step, if it happened."""
        return self._seen.get(step)

    def missing(self) -> list[Step]:
        """Steps that did not happen (yet)."""
        return [step for step in Step if step not in self._seen]
