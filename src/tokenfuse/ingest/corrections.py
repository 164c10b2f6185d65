"""Originals, duplicates and revisions: which calls a slice puts in, which it takes out again, which it refuses."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tokenfuse.ingest.call import Call
    from tokenfuse.ingest.dedup import Found, Hashes
    from tokenfuse.ingest.drafts import Draft


class Outcome(StrEnum):
    """What became of a call, or of a record that holds none: metric label and field of `replay`'s summary."""

    COUNTED = "counted"
    DUPLICATE = "duplicate"
    CORRECTED = "corrected"
    STALE_REVISION = "stale_revision"
    DEAD_LETTER = "dead_letter"
    NOT_BILLED = "not_billed"


class Known(NamedTuple):
    """What was counted for an id before, in this slice (then with its call) or in an earlier one."""

    revision: int
    generation: int
    offset: int
    cost: int
    call: Call | None


class Resolution(NamedTuple):
    """What a slice does with its calls.

    Attributes:
        outcomes: one per call.
        put_in: indices of the calls whose value enters the sums.
        taken_out: calls whose value leaves the sums.
        latest: those of `put_in` that stand for their ids from now on.
        unknown: indices of revisions whose original is not known.
    """

    outcomes: list[Outcome]
    put_in: list[int]
    taken_out: list[Call]
    latest: list[int]
    unknown: list[int]


def suspects(calls: Sequence[Call], hashes: Hashes, found: Found) -> list[int]:
    """Calls that need a closer look: known before, repeated within the slice, or revisions. Usually few."""
    high = np.sort(hashes["high"])
    repeated = high[1:][high[1:] == high[:-1]]
    revised = np.fromiter((call.revision for call in calls), np.int64, len(calls)) > 0
    suspicious = (found.offset >= 0) | revised
    if len(repeated):
        suspicious |= np.isin(hashes["high"], repeated)
    return np.flatnonzero(suspicious).tolist()


class Resolver:
    """Decides call after call, in source order.

    Args:
        calls: of the slice.
        draft: what is known of them.
        visible: whether an id counted in one generation is still known in another.
        original: the call counted at an offset for an id and revision, read back; None where it is gone.
    """

    def __init__(
        self,
        calls: Sequence[Call],
        draft: Draft,
        visible: Callable[[int, int], bool],
        original: Callable[[int, str, int], Call | None],
    ) -> None:
        self._calls, self._draft, self._visible, self._original = calls, draft, visible, original
        self._here: dict[str, tuple[int, Known]] = {}
        self._taken_out: list[Call] = []

    def resolve(self) -> Resolution:
        """Looks at the suspects; every other call is new and counted."""
        outcomes = [Outcome.COUNTED] * len(self._calls)
        for index in self._draft.suspicious:
            outcomes[index] = self._decide(index)
        put_in = [i for i, outcome in enumerate(outcomes) if outcome in (Outcome.COUNTED, Outcome.CORRECTED)]
        outdated = set(self._draft.suspicious) - {index for index, _ in self._here.values()}
        latest = [i for i in put_in if i not in outdated]
        unknown = [i for i in self._draft.suspicious if outcomes[i] is Outcome.DEAD_LETTER]
        return Resolution(outcomes, put_in, self._taken_out, latest, unknown)

    def _decide(self, index: int) -> Outcome:
        call, known = self._calls[index], self._known(index)
        if known is None:
            return (
                self._put_in(index, Outcome.COUNTED)
                if call.revision == 0
                else self._correct(index, call.replaces)
            )
        if call.revision == known.revision:
            return Outcome.DUPLICATE
        if call.revision < known.revision:
            return Outcome.STALE_REVISION
        return self._correct(index, self._value_of(call, known) or call.replaces)

    def _known(self, index: int) -> Known | None:
        """The latest revision of the id that the record of this call can see."""
        now, found = int(self._draft.generation[index]), self._draft.found
        _, here = self._here.get(self._calls[index].id, (-1, None))
        if here is not None and self._visible(here.generation, now):
            return here
        if found.offset[index] < 0:
            return None
        return Known(int(found.revision[index]), now, int(found.offset[index]), int(found.cost[index]), None)

    def _value_of(self, call: Call, known: Known) -> Call | None:
        """What was counted for the id: the original's cells and tokens, and its cost of that time."""
        if known.call is not None:
            return known.call
        original = self._original(known.offset, call.id, known.revision)
        if original is None:
            return None
        unpriced = known.cost < 0
        cost_nanousd = ~known.cost if unpriced else known.cost
        return msgspec.structs.replace(original, cost_nanousd=cost_nanousd, unpriced=unpriced)

    def _correct(self, index: int, old: Call | None) -> Outcome:
        if old is None:
            return Outcome.DEAD_LETTER
        self._taken_out.append(old)
        return self._put_in(index, Outcome.CORRECTED)

    def _put_in(self, index: int, outcome: Outcome) -> Outcome:
        call, draft = self._calls[index], self._draft
        known = Known(
            call.revision, int(draft.generation[index]), int(draft.offset[index]), call.cost_nanousd, call
        )
        self._here[call.id] = (index, known)
        return outcome
