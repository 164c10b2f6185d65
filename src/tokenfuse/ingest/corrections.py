"""Originals, duplicates and revisions: which calls a slice puts in, which it takes out again, which it refuses."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfuse.ingest.call import Call
    from tokenfuse.ingest.columns import Ints
    from tokenfuse.ingest.dedup import Found, Hashes
    from tokenfuse.ingest.drafts import Draft
    from tokenfuse.ingest.table import CallTable


class Outcome(StrEnum):
    """What became of a call, or of a record that holds none: metric label and field of `replay`'s summary."""

    COUNTED = "counted"
    DUPLICATE = "duplicate"
    CORRECTED = "corrected"
    STALE_REVISION = "stale_revision"
    DEAD_LETTER = "dead_letter"
    NOT_BILLED = "not_billed"


_PUT_IN: Final = frozenset({Outcome.COUNTED, Outcome.CORRECTED})


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
        outcomes: of the calls that were looked at closely, by their place; every other call is counted.
        put_in: int64, places of the calls whose value enters the sums.
        taken_out: calls whose value leaves the sums.
        latest: int64, those of `put_in` that stand for their ids from now on.
        unknown: places of revisions whose original is not known.
    """

    outcomes: dict[int, Outcome]
    put_in: Ints
    taken_out: list[Call]
    latest: Ints
    unknown: list[int]


def suspects(revision: Ints, hashes: Hashes, found: Found) -> list[int]:
    """Calls that need a closer look: known before, repeated within the slice, or revisions. Usually few."""
    high = np.sort(hashes["high"])
    repeated = high[1:][high[1:] == high[:-1]]
    suspicious = (found.offset >= 0) | (revision > 0)
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
        calls: CallTable,
        draft: Draft,
        visible: Callable[[int, int], bool],
        original: Callable[[int, str, int], Call | None],
    ) -> None:
        self._calls, self._draft, self._visible, self._original = calls, draft, visible, original
        self._here: dict[str, tuple[int, Known]] = {}
        self._taken_out: list[Call] = []

    def resolve(self) -> Resolution:
        """Looks at the suspects; every other call is new and counted."""
        suspicious = self._draft.suspicious
        outcomes = {index: self._decide(index, self._calls.call(index)) for index in suspicious}
        put_in = np.ones(len(self._calls.ids), bool)
        put_in[[i for i, outcome in outcomes.items() if outcome not in _PUT_IN]] = False
        latest = put_in.copy()
        latest[suspicious] = False
        latest[[index for index, _ in self._here.values()]] = True
        unknown = [i for i, outcome in outcomes.items() if outcome is Outcome.DEAD_LETTER]
        return Resolution(outcomes, np.flatnonzero(put_in), self._taken_out, np.flatnonzero(latest), unknown)

    def _decide(self, index: int, call: Call) -> Outcome:
        known = self._known(index, call.id)
        if known is None:
            return (
                self._put_in(index, call, Outcome.COUNTED)
                if call.revision == 0
                else self._correct(index, call, call.replaces)
            )
        if call.revision == known.revision:
            return Outcome.DUPLICATE
        if call.revision < known.revision:
            return Outcome.STALE_REVISION
        return self._correct(index, call, self._value_of(call, known) or call.replaces)

    def _known(self, index: int, id: str) -> Known | None:  # noqa: A002
        """The latest revision of the id that the record of this call can see."""
        now, found = int(self._draft.generation[index]), self._draft.found
        _, here = self._here.get(id, (-1, None))
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

    def _correct(self, index: int, call: Call, old: Call | None) -> Outcome:
        if old is None:
            return Outcome.DEAD_LETTER
        self._taken_out.append(old)
        return self._put_in(index, call, Outcome.CORRECTED)

    def _put_in(self, index: int, call: Call, outcome: Outcome) -> Outcome:
        draft = self._draft
        known = Known(
            call.revision, int(draft.generation[index]), int(draft.offset[index]), call.cost_nanousd, call
        )
        self._here[call.id] = (index, known)
        return outcome
