"""The hot path: plain canonical events to columns, in whole arrays. What it declines takes the path that says why.

For every message that it takes, the columns hold what `Decoder.decode` makes of it; a property test holds both equal.
Messages are decoded a few hundred at a time, so that their objects stay in the processor's cache and are used again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec.structs import astuple

from tokenfuse.contracts import cloudevents
from tokenfuse.contracts.axes import AXES
from tokenfuse.contracts.event import TIERS
from tokenfuse.contracts.money import NANOUSD_MAX
from tokenfuse.contracts.topics import EVENT_BYTES_MAX
from tokenfuse.ingest import fields
from tokenfuse.ingest.columns import Ints, pack
from tokenfuse.ingest.names import Names, Numbers
from tokenfuse.ingest.normalise import LABEL
from tokenfuse.ingest.shape import EVERYTHING, Shape, Shapes
from tokenfuse.ingest.table import NUMBERS, CallTable, objects
from tokenfuse.ingest.times import EARLIEST_MS, LATEST_MS
from tokenfuse.pricing.book import (
    DAY_MS,
    MINUTE_MS,
    SERVICE_CHARS_MAX,
    SERVICE_TIER_LABEL,
    Entry,
    PriceBook,
)
from tokenfuse.pricing.columns import Tokens, cost_columns

Headers = Sequence[tuple[str, bytes]]

CHUNK: Final = 256
"""Messages decoded at a time: 128 and 256 were fastest, 1,024 a third slower, with two cores that others use too."""

_COUNTS: Final = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "context_tokens",
    "attempt", "response_cache_hit", "tool_calls", "batch", "revision",
)  # fmt: skip
_COUNT_DEFAULT: Final = {"attempt": 1}
_TIER: Final[dict[str | None, int]] = {None: -1, **{tier: index for index, tier in enumerate(TIERS)}}
_STATUS: Final = {"ok": 0, "error": 1, "aborted": 2, "blocked": 3}


class Vocabulary:
    """Numbers for every text that calls are grouped or priced by."""

    def __init__(self, axes: Sequence[str]) -> None:
        self.names = Names(axes)
        self.models, self.providers, self.services = Numbers(), Numbers(), Numbers()

    @property
    def full(self) -> bool:
        """Whether the next slice should start with a new one."""
        return self.names.full or self.models.full or self.providers.full or self.services.full


class Columns(NamedTuple):
    """Of n events, before they are checked and priced: int64[n] each, but `ids` and `axes`.

    Attributes:
        at: number of the message.
        stated: nano-dollars, `fields.ASK_BOOK` or `fields.DECLINED`.
    """

    at: Ints
    ids: Any
    axes: Ints
    counts: Ints
    time_ms: Ints
    stated: Ints
    status: Ints
    tier: Ints
    latency_ms: Ints
    depth: Ints
    step: Ints
    model: Ints
    provider: Ints
    service: Ints
    parent: Ints
    tool_sketch: Ints

    def of(self, name: str) -> Ints:
        """A column of `counts`."""
        row: Ints = self.counts[_COUNTS.index(name)]
        return row

    def take(self, index: Ints) -> Columns:
        """These events only."""
        return Columns(*(column.take(index, axis=-1) for column in self))


class HotPath:
    """Arguments are those of `decode.Decoder`."""

    def __init__(
        self, further_axes: Sequence[str], age_max_seconds: int, ahead_max_seconds: int, book: PriceBook
    ) -> None:
        self._axes = (*AXES, *further_axes)
        self._age_max_ms, self._ahead_max_ms = age_max_seconds * 1000, ahead_max_seconds * 1000
        self._book = book
        self._vocabulary = Vocabulary(self._axes)
        self._shapes = Shapes()

    def table(
        self, values: Sequence[bytes | None], headers: Sequence[Headers], record_ms: Ints
    ) -> tuple[CallTable, Ints]:
        """The calls of the messages that are taken, in their order.

        Args:
            values, headers: of n messages.
            record_ms: int64[n]; negative where nobody said.

        Returns:
            The calls, and int64: the number of each call's message.
        """
        if self._vocabulary.full:
            self._vocabulary = Vocabulary(self._axes)
        starts = range(0, len(values), CHUNK)
        with _without_collections():
            chunks = [self._chunk(values[s : s + CHUNK], headers[s : s + CHUNK], s) for s in starts]
        columns = Columns(*(np.concatenate(parts, axis=-1) for parts in zip(*chunks, strict=True)))
        ok = self._checked(columns, record_ms[columns.at])
        if not ok.all():
            columns = columns.take(np.flatnonzero(ok))
        return self._priced(columns)

    def _chunk(self, values: Sequence[bytes | None], headers: Sequence[Headers], start: int) -> Columns:
        shape, events = self._events(values, headers)
        at = [number for number, event in enumerate(events) if event is not None]
        if len(at) < len(events):
            events = [events[number] for number in at]
        count = len(events)
        # Without events every field is empty; with events a field that the shape lacks is its default in all of them.
        columns = zip(*map(astuple, events), strict=True) if count else [()] * len(shape.names)
        field: dict[str, Sequence[Any]] = dict(zip(shape.names, columns, strict=True))
        none = (None,) * count
        words = self._vocabulary
        labels = field.get("labels", none)
        service = fields.label(labels, SERVICE_TIER_LABEL)
        # A call that replaces another is rare, and needs a `Call`.
        odd = [number for number, value in enumerate(field.get("replaces", ())) if value is not None]
        for number, value in enumerate(service):
            if value is not None and len(value) > SERVICE_CHARS_MAX:
                service[number] = None
                odd.append(number)
        return Columns(
            np.array(at, np.int64) + start,
            objects(field["id"]),
            words.names.of(self._axis_columns(field, labels, none), count),
            np.stack(
                [fields.counts(field.get(name), _COUNT_DEFAULT.get(name, 0), count) for name in _COUNTS]
            ),
            fields.times(field["time"]),
            fields.stated(field.get("cost_usd", none), odd),
            fields.numbered(_STATUS, field.get("status"), "ok", count),
            fields.numbered(_TIER, field.get("tier"), None, count),
            np.rint(fields.floats(field.get("latency_ms"), -1, count)).astype(np.int64),
            fields.floats(field.get("depth"), 0, count).astype(np.int64),
            fields.floats(field.get("step"), 0, count).astype(np.int64),
            words.models.of(field["model"]),
            words.providers.of(field.get("provider", none)),
            words.services.of(service),
            words.names.numbers[AXES.index("run_id")].of(field.get("parent_run_id", none)),
            fields.sketched(field.get("tool_signature", none)),
        )

    def _axis_columns(
        self, field: dict[str, Sequence[Any]], labels: Sequence[Any], none: Sequence[None]
    ) -> Iterator[Sequence[str | None]]:
        for axis in self._axes:
            if axis.startswith(LABEL):
                yield [value or None for value in fields.label(labels, axis.removeprefix(LABEL))]
            else:
                yield field.get(axis, none)

    def _events(
        self, values: Sequence[bytes | None], headers: Sequence[Headers]
    ) -> tuple[Shape, Sequence[Any]]:
        """Each message's event; None where it is not plain canonical JSON."""
        try:
            if not any(headers) and max(map(len, values)) <= EVENT_BYTES_MAX:  # type: ignore[arg-type]
                return self._shapes.decoded(values)  # type: ignore[arg-type]
        except Exception:  # noqa: S110 - one of them is odd: each for itself
            pass
        return EVERYTHING, [_event(value, head) for value, head in zip(values, headers, strict=True)]

    def _checked(self, columns: Columns, record_ms: Ints) -> Any:
        """bool[n]: times that are believed, subsets that fit into their totals, costs that are accepted."""
        known = record_ms >= 0
        earliest = np.where(known, record_ms - self._age_max_ms, EARLIEST_MS)
        latest = np.where(known, record_ms + self._ahead_max_ms, LATEST_MS)
        ok = (earliest <= columns.time_ms) & (columns.time_ms <= latest) & (columns.stated != fields.DECLINED)
        ok &= columns.of("cache_read_tokens") + columns.of("cache_write_tokens") <= columns.of("input_tokens")
        return ok & (columns.of("reasoning_tokens") <= columns.of("output_tokens"))

    def _priced(self, columns: Columns) -> tuple[CallTable, Ints]:
        entries, entry = self._entries(columns)
        cost, unpriced, off_book = self._costs(columns, entries, entry)
        tiers = np.array([e.tier for e in entries], np.int64)
        if "provider" in self._axes:
            row = self._axes.index("provider")
            columns.axes[row] = self._vocabulary.names.numbers[row].of([e.provider for e in entries])[entry]
        field = {
            **{name: columns.of(name) for name in _COUNTS},
            "time_ms": columns.time_ms,
            "cost_nanousd": cost,
            "unpriced": unpriced,
            "retry": columns.of("attempt") > 1,
            "error": (columns.status == _STATUS["error"]) | (columns.status == _STATUS["aborted"]),
            "tier": np.where(columns.tier < 0, tiers[entry], columns.tier),
            "latency_ms": columns.latency_ms,
            "depth": columns.depth,
            "step": columns.step,
            "off_book_nanousd": off_book,
            "tool_sketch": columns.tool_sketch,
        }
        numbers = np.array([field[name] for name in NUMBERS], np.int64)
        table = CallTable(self._vocabulary.names, columns.ids, columns.axes, numbers, columns.parent, {})
        affordable = cost <= NANOUSD_MAX
        if affordable.all():
            return table, columns.at
        index = np.flatnonzero(affordable)
        return table.take(index), columns.at[index]

    def _costs(self, columns: Columns, entries: Sequence[Entry], entry: Ints) -> tuple[Ints, Any, Ints]:
        """What each call costs, whether that is an estimate, and what it comes to above the price book's."""
        tokens = Tokens(*(
            columns.of(name)
            for name in (
                "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
            )
        ))  # fmt: skip
        said = columns.stated != fields.ASK_BOOK
        failed = (columns.status == _STATUS["error"]) | (columns.status == _STATUS["blocked"])
        nothing = failed & (tokens.input == 0) & (tokens.output == 0)
        hit = columns.of("response_cache_hit") > 0
        cost, unpriced = cost_columns(tokens, hit | (nothing & ~said), entries, entry, self._book.fallback)
        comparable = said & (columns.stated > 0) & ~hit & ~unpriced
        off_book = np.where(comparable, np.maximum(columns.stated - cost, -NANOUSD_MAX), 0)
        return np.where(said, columns.stated, cost), unpriced & ~said, off_book

    def _entries(self, columns: Columns) -> tuple[list[Entry], Ints]:
        """Entries of the price book, and int64[n]: which of them is each call's."""
        if not len(columns.at):
            return [], np.zeros(0, np.int64)
        by_day = (columns.model, columns.provider, columns.service, columns.of("batch"))
        entries, entry = self._looked_up(columns, (*by_day, columns.time_ms // DAY_MS))
        if any(e.by_minute for e in entries):
            by_minute = np.array([e.by_minute for e in entries])[entry]
            minute = np.where(by_minute, columns.time_ms, 0) // MINUTE_MS
            entries, entry = self._looked_up(columns, (entry, minute))
        return entries, entry

    def _looked_up(self, columns: Columns, key: Sequence[Ints]) -> tuple[list[Entry], Ints]:
        """One look-up for all calls of one key."""
        _, first, place = np.unique(pack(key), return_index=True, return_inverse=True)
        words = self._vocabulary
        return [
            self._book.entry_of(
                words.models.known[columns.model[i]] or "",
                words.providers.known[columns.provider[i]],
                bool(columns.of("batch")[i]),
                words.services.known[columns.service[i]],
                int(columns.time_ms[i]),
            )
            for i in first.tolist()
        ], place


@contextmanager
def _without_collections() -> Iterator[None]:
    """Rows of fields look like the beginnings of cycles to the collector; without it they are gone as soon as used."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _event(value: bytes | None, headers: Headers) -> Any:
    if not value or len(value) > EVENT_BYTES_MAX or (headers and not cloudevents.is_plain_json(headers)):
        return None
    try:
        if not value.isascii():
            value.decode()  # msgspec does not look at the text of fields that it skips
        return EVERYTHING.decode(value)
    except Exception:
        return None
