"""The same job without numpy: dictionaries of lists, one event after the other. Six sums per scope."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from benchmarks.speed.contenders.columns import NANO, Horizon, Prices, _cell
from benchmarks.speed.contenders.common import Event
from benchmarks.speed.truth import PANE_SECONDS

Row = tuple[int, int, int, int, int, int]


class PlainJob:
    """State of the job; `take` is called with the values of a batch of messages."""

    def __init__(self, decode: Callable[[bytes], Event]) -> None:
        """Nothing seen."""
        self._decode = decode
        self._horizon, self.prices = Horizon(), Prices()
        self._sums: dict[tuple[str, object, int], list[int]] = {}

    def take(self, values: Iterable[bytes]) -> int:
        """One batch; returns how many events of it were new."""
        fresh = self._horizon.fresh(map(self._decode, values))
        for event in fresh:
            row = measures(event, self.prices)
            for scope in scopes(event):
                if (sums := self._sums.get(scope)) is None:
                    self._sums[scope] = list(row)
                else:
                    for place, amount in enumerate(row):
                        sums[place] += amount
        return len(fresh)

    def totals(self) -> dict[tuple[str, str, int], tuple[int, ...]]:
        """Sums by axis, value and pane."""
        return {
            (axis, _cell(value) if axis == "cell" else value, pane): tuple(row)
            for (axis, value, pane), row in self._sums.items()
        }


def measures(event: Event, prices: Prices) -> Row:
    """The six sums of one call."""
    inputs, outputs, cached = event.input_tokens, event.output_tokens, event.cache_read_tokens
    if event.cost_usd is None:
        price = prices[event.provider, event.model]
        cost = (inputs - cached) * price[0] + outputs * price[1] + cached * price[2]
    else:
        cost = int(Decimal(event.cost_usd) * NANO)
    return 1, cost, inputs, outputs, cached, int(event.attempt > 1)


def scopes(event: Event) -> list[tuple[str, object, int]]:
    """Axis, value and pane of every scope of one call."""
    pane = event.time // (1000 * PANE_SECONDS) * PANE_SECONDS
    found: list[tuple[str, object, int]] = [
        ("tenant", event.tenant, pane),
        ("feature", event.feature, pane),
        ("model", event.model, pane),
        ("cell", (event.tenant, event.feature, event.model, event.prompt_template), pane),
    ]
    for axis, value in (
        ("prompt_template", event.prompt_template),
        ("user", event.user),
        ("run_id", event.run_id),
    ):
        if value is not None:
            found.append((axis, value, pane))
    return found
