"""Canonical event to call: times checked, scope values bounded, further axes picked, priced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tokenfuse.contracts.axes import VALUE_CHARS_MAX, bounded
from tokenfuse.contracts.deadletter import Reason
from tokenfuse.contracts.event import TIERS, CostEvent, Replaces
from tokenfuse.contracts.money import NANOUSD_MAX
from tokenfuse.contracts.sketch import sketch_of
from tokenfuse.ingest.call import Call
from tokenfuse.ingest.fault import RefusedError
from tokenfuse.ingest.times import EARLIEST_MS, LATEST_MS, check_time, time_ms
from tokenfuse.pricing.book import Entry, PriceBook

LABEL: Final = "labels."
SKETCHES_MAX: Final = 100_000
TIER_INDEX: Final = {tier: index for index, tier in enumerate(TIERS)}

Further = tuple[str | None, ...]


def further_getter(axes: Sequence[str]) -> Callable[[CostEvent | Replaces, Entry], Further]:
    """Function that picks the further axes' values, in their order; `labels.<name>` looks into the labels."""
    if not axes:
        return lambda _event, _entry: ()
    labels = [axis.removeprefix(LABEL) if axis.startswith(LABEL) else None for axis in axes]
    names = list(zip(axes, labels, strict=True))

    def pick(event: CostEvent | Replaces, entry: Entry) -> Further:
        values = []
        for axis, label in names:
            if label is not None:
                value = event.labels.get(label) or None if event.labels else None
            elif axis == "provider":
                value = entry.provider
            else:
                value = getattr(event, axis)
            values.append(value if value is None else bounded(value))
        return tuple(values)

    return pick


def _of_run(event: CostEvent | Replaces) -> tuple[str | None, int]:
    """Parent run and tool sketch; what a correction replaces does not say them."""
    if isinstance(event, Replaces):
        return None, 0
    parent, signature = event.parent_run_id, event.tool_signature
    return (
        parent if parent is None or len(parent) <= VALUE_CHARS_MAX else bounded(parent),
        0 if signature is None else sketches[signature],
    )


class _Sketches(dict[str, int]):
    """Sketches by signature, remembered: hashing takes a microsecond."""

    def __missing__(self, signature: str) -> int:
        if len(self) >= SKETCHES_MAX:
            self.clear()
        sketch = self[signature] = sketch_of(signature)
        return sketch


sketches: Final = _Sketches()
"""Of this process."""


class Normaliser:
    """Turns events into calls. Arguments are those of `decode.Decoder`."""

    def __init__(
        self, further_axes: Sequence[str], age_max_seconds: int, ahead_max_seconds: int, book: PriceBook
    ) -> None:
        self._further = further_getter(further_axes)
        self._age_max_ms = age_max_seconds * 1000
        self._ahead_max_ms = ahead_max_seconds * 1000
        self._book = book

    def call(self, event: CostEvent, record_ms: int | None) -> Call:
        """One call. `record_ms`: timestamp of the Kafka record; None: only 2015 to 2100 is asked for.

        Raises:
            RefusedError: the time is not believed, or our price for the tokens exceeds a million dollars.
        """
        at_ms = time_ms(event.time)
        if record_ms is None or not record_ms - self._age_max_ms <= at_ms <= record_ms + self._ahead_max_ms:
            self._check_time(at_ms, record_ms)
        replaces = event.replaces
        return self._call(
            event,
            at_ms,
            event.id,
            event.revision,
            None if replaces is None else self._replaced(event, replaces),
        )

    def _check_time(self, at_ms: int, record_ms: int | None) -> None:
        check_time(at_ms, EARLIEST_MS, LATEST_MS, "no call was made then; check the unit and the clock")
        if record_ms is not None:
            earliest, latest = record_ms - self._age_max_ms, record_ms + self._ahead_max_ms
            check_time(
                at_ms,
                earliest,
                latest,
                "too far from when the record was written; check the producer's clock",
            )

    def _replaced(self, event: CostEvent, replaces: Replaces) -> Call:
        """The earlier revision as the correction describes it; its age is not limited, that is what it is for."""
        try:
            at_ms = time_ms(replaces.time)
            check_time(at_ms, EARLIEST_MS, LATEST_MS, "no call was made then; check the unit and the clock")
            return self._call(replaces, at_ms, event.id, max(event.revision - 1, 0), None)
        except RefusedError as error:
            raise error.inside("replaces") from None

    def _call(
        self, event: CostEvent | Replaces, at_ms: int, id_: str, revision: int, replaces: Call | None
    ) -> Call:
        entry = self._book.entry(event, at_ms)
        cost_nanousd, unpriced = self._book.cost(event, entry)
        if cost_nanousd > NANOUSD_MAX:
            detail = f"{event.input_tokens} input and {event.output_tokens} output tokens cost over a million dollars"
            raise RefusedError(Reason.COST_TOO_LARGE, "input_tokens", detail)
        tenant, feature, model = event.tenant, event.feature, event.model
        template, user, run_id = event.prompt_template, event.user, event.run_id
        tier, latency_ms = event.tier, event.latency_ms
        # By position, in Call's order: with 26 fields keywords cost a tenth of the whole decoding.
        return Call(
            id_,
            revision,
            at_ms,
            tenant if len(tenant) <= VALUE_CHARS_MAX else bounded(tenant),
            feature if len(feature) <= VALUE_CHARS_MAX else bounded(feature),
            model if len(model) <= VALUE_CHARS_MAX else bounded(model),
            template if template is None or len(template) <= VALUE_CHARS_MAX else bounded(template),
            user if user is None or len(user) <= VALUE_CHARS_MAX else bounded(user),
            run_id if run_id is None or len(run_id) <= VALUE_CHARS_MAX else bounded(run_id),
            self._further(event, entry),
            cost_nanousd,
            unpriced,
            event.input_tokens,
            event.output_tokens,
            event.cache_read_tokens,
            event.cache_write_tokens,
            event.reasoning_tokens,
            event.context_tokens,
            event.attempt > 1,
            event.status in ("error", "aborted"),
            event.response_cache_hit,
            event.tool_calls,
            entry.tier if tier is None else TIER_INDEX[tier],
            -1 if latency_ms is None else round(latency_ms),
            event.depth or 0,
            event.step or 0,
            replaces,
            0 if event.cost_usd is None else self._book.off_book(event, entry, cost_nanousd),
            *_of_run(event),
        )
