"""What was published: the sums that the pipeline's totals must equal, to the nano-dollar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from tokenfuse.contracts.axes import AXES
from tokenfuse.contracts.event import CostEvent
from tokenfuse.pricing.book import PriceBook

Sums = dict[tuple[str, str], tuple[int, int]]
"""By axis and value: calls, nano-dollars."""

NOTHING: Final = (0, 0)


class Ledger:
    """Adds up every call as it is published, by axis value; knows nothing of windows, slices and partitions."""

    def __init__(self) -> None:
        self.sums: Sums = {}
        self._book = PriceBook()

    def add(self, event: Mapping[str, Any], at_ms: int) -> None:
        """Count one call that is about to be published."""
        call = msgspec.convert(event, CostEvent)
        nanousd = self._book.price(call, at_ms).cost_nanousd
        for axis in AXES:
            if (value := getattr(call, axis)) is not None:
                calls, spent = self.sums.get((axis, value), NOTHING)
                self.sums[axis, value] = calls + 1, spent + nanousd

    def calls(self) -> int:
        """How many calls were published."""
        return sum(calls for (axis, _), (calls, _) in self.sums.items() if axis == "tenant")

    def nanousd(self, axis: str, value: str) -> int:
        """What was spent under one axis value."""
        return self.sums.get((axis, value), NOTHING)[1]

    def differences(self, totals: Sums) -> Iterator[str]:
        """Where other totals differ from these, in words."""
        for axis, value in sorted(self.sums.keys() | totals.keys()):
            published, found = self.sums.get((axis, value), NOTHING), totals.get((axis, value), NOTHING)
            if published != found:
                yield f"{axis} {value}: published {published[0]} calls, {published[1]} n$; found {found[0]}, {found[1]} n$"
