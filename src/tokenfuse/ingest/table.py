"""The calls of a slice as columns. What is rare is made a `Call` again, one at a time."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenfuse.contracts.axes import AXES
from tokenfuse.ingest.call import Call

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tokenfuse.ingest.columns import Ints
    from tokenfuse.ingest.names import Names

NUMBERS: Final = (
    "revision", "time_ms", "cost_nanousd", "unpriced", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "reasoning_tokens", "context_tokens", "retry", "error", "response_cache_hit", "tool_calls",
    "tier", "latency_ms", "depth", "step", "off_book_nanousd", "tool_sketch",
)  # fmt: skip
"""The number fields of `Call`, as rows of `CallTable.numbers`."""

NUMBER: Final = {name: row for row, name in enumerate(NUMBERS)}
RUN: Final = AXES.index("run_id")
_BOOLS: Final = frozenset({"unpriced", "retry", "error", "response_cache_hit"})
_numbers = attrgetter(*NUMBERS)

Objects = NDArray[np.object_]


class CallTable(NamedTuple):
    """n calls.

    Attributes:
        names: what the numbers in `axes` mean.
        ids: object[n], strings.
        axes: int64[len(names.axes), n].
        numbers: int64[len(NUMBERS), n].
        parents: int64[n], the parent run of each call, numbered as axis run_id is.
        replaces: what a call says that it replaces, by its place, where it does.
    """

    names: Names
    ids: Objects
    axes: Ints
    numbers: Ints
    parents: Ints
    replaces: dict[int, Call]

    @classmethod
    def of(cls, calls: Sequence[Call], names: Names) -> CallTable:
        """Calls as columns."""
        count = len(calls)
        columns = [[getattr(call, axis) for call in calls] for axis in AXES]
        columns += [[call.further[place] for call in calls] for place in range(len(names.axes) - len(AXES))]
        numbers = np.array([_numbers(call) for call in calls], np.int64).reshape(count, len(NUMBERS))
        return cls(
            names,
            objects([call.id for call in calls]),
            names.of(columns, count),
            np.ascontiguousarray(numbers.T),
            names.numbers[RUN].of([call.parent_run_id for call in calls]),
            {place: call.replaces for place, call in enumerate(calls) if call.replaces is not None},
        )

    def number(self, name: str) -> Ints:
        """A field of every call."""
        row: Ints = self.numbers[NUMBER[name]]
        return row

    def call(self, place: int) -> Call:
        """One call."""
        axes = [
            numbers.known[number]
            for numbers, number in zip(self.names.numbers, self.axes[:, place].tolist(), strict=True)
        ]
        fields: dict[str, Any] = dict(zip(NUMBERS, self.numbers[:, place].tolist(), strict=True))
        fields.update({name: bool(fields[name]) for name in _BOOLS})
        fields.update(zip(AXES, axes, strict=False))
        return Call(
            id=self.ids[place],
            further=tuple(axes[len(AXES) :]),
            replaces=self.replaces.get(place),
            parent_run_id=self.names.numbers[RUN].known[self.parents[place]],
            **fields,
        )

    def calls(self) -> Iterable[Call]:
        """All of them."""
        return map(self.call, range(len(self.ids)))

    def take(self, index: Ints) -> CallTable:
        """These calls only, in this order."""
        replaces = {}
        if self.replaces:
            old = {place: new for new, place in enumerate(index.tolist())}
            replaces = {old[place]: call for place, call in self.replaces.items() if place in old}
        return CallTable(
            self.names,
            self.ids.take(index),
            self.axes.take(index, axis=1),
            self.numbers.take(index, axis=1),
            self.parents.take(index),
            replaces,
        )

    def joined(self, other: CallTable) -> CallTable:
        """These calls and then others of the same names."""
        count = len(self.ids)
        moved = {place + count: call for place, call in other.replaces.items()}
        return CallTable(
            self.names,
            np.concatenate((self.ids, other.ids)),
            np.concatenate((self.axes, other.axes), axis=1),
            np.concatenate((self.numbers, other.numbers), axis=1),
            np.concatenate((self.parents, other.parents)),
            self.replaces | moved,
        )


def objects(values: Sequence[Any]) -> Objects:
    """As an array of objects, whatever they are."""
    found = np.empty(len(values), object)
    found[:] = values
    return found
