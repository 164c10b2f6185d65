"""What every scope's sums must be, from the source topic as it stands: plain integers, no code of the product."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.chaos.traffic import MEASURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.traffic import Call, Fact

MINUTE_MS: Final = 60_000

Scope = tuple[str, str]
Sums = tuple[int, ...]


class Counted(NamedTuple):
    """One revision of an id that was counted, in a minute of its partition's clock."""

    minute: int
    revision: int
    call: Call


class Truth:
    """Applies the source's records in their order.

    Args:
        facts: meaning of each message by its bytes.
        horizon_seconds: ids are remembered so long, in whole minutes of the source's clock.

    Attributes:
        letters: (source partition, offset) of each record that must be dead-lettered, with the reason.
        outcomes: how many messages were counted, doubled, corrected, refused.
    """

    def __init__(self, facts: Mapping[bytes, Fact], horizon_seconds: int) -> None:
        self._facts = facts
        self._minutes = -(-horizon_seconds * 1000 // MINUTE_MS)
        self._clock_ms: dict[int, int] = defaultdict(lambda: -1)
        self._known: dict[tuple[int, str], list[Counted]] = defaultdict(list)
        self._sums: dict[Scope, list[int]] = defaultdict(lambda: [0] * len(MEASURES))
        self.letters: dict[tuple[int, int], str] = {}
        self.outcomes: dict[str, int] = defaultdict(int)

    def apply(self, partition: int, offset: int, timestamp_ms: int, value: bytes) -> None:
        """The next record of a source partition."""
        clock = self._clock_ms[partition] = max(self._clock_ms[partition], timestamp_ms)
        fact = self._facts[value]
        reason = fact.refused or self._count(partition, clock // MINUTE_MS, fact)
        if reason is not None:
            self.letters[partition, offset] = reason
            self.outcomes["refused"] += 1

    def sums(self) -> dict[Scope, Sums]:
        """By scope; those that are all nought are left out."""
        return {scope: tuple(row) for scope, row in self._sums.items() if any(row)}

    def _count(self, partition: int, minute: int, fact: Fact) -> str | None:
        assert fact.call is not None
        counted = self._known[partition, fact.id]
        visible = [each for each in counted if each.minute >= minute - self._minutes]
        newest = max(visible, key=lambda each: each.revision, default=None)
        if newest is None and fact.revision and fact.replaces is None:
            return "original_unknown"
        if newest is not None and fact.revision <= newest.revision:
            self.outcomes["doubled"] += 1
            return None
        old = newest.call if newest else fact.replaces if fact.revision else None
        if old is not None:
            self._add(old, -1)
        self._add(fact.call, 1)
        self.outcomes["corrected" if old else "counted"] += 1
        counted.append(Counted(minute, fact.revision, fact.call))
        return None

    def _add(self, call: Call, sign: int) -> None:
        for scope in call.scopes:
            row = self._sums[scope]
            for place, number in enumerate(call.sums):
                row[place] += sign * number
