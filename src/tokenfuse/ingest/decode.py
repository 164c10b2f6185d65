"""Bytes to priced calls: canonical JSON on the fast path, everything else found out singly.

A message that cannot be counted becomes a `DeadLetterFault`; nothing else ever leaves `decode`, whatever the bytes are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from tokenfuse.contracts import cloudevents
from tokenfuse.contracts.axes import AXES
from tokenfuse.contracts.deadletter import Reason
from tokenfuse.contracts.event import CostEvent, decode_event, parse_json
from tokenfuse.contracts.topics import EVENT_BYTES_MAX
from tokenfuse.ingest.call import Call
from tokenfuse.ingest.columns import Ints
from tokenfuse.ingest.fault import DeadLetterFault, RefusedError
from tokenfuse.ingest.formats.build import canonical_event
from tokenfuse.ingest.formats.registry import FORMATS
from tokenfuse.ingest.hot import HotPath
from tokenfuse.ingest.names import Names
from tokenfuse.ingest.normalise import Normaliser
from tokenfuse.ingest.record import BATCH_REFUSED_HEADER
from tokenfuse.ingest.table import CallTable
from tokenfuse.pricing.book import PriceBook

Headers = Sequence[tuple[str, bytes]]
Decoded = tuple[Call, ...] | DeadLetterFault


class DecodedMany(NamedTuple):
    """What became of n messages.

    Attributes:
        calls: of all messages, in their order.
        of_call: int64, number of the message that holds each call; rising.
        faults: why a message is refused, by its number, rising. One with neither call nor fault bills nothing.
    """

    calls: CallTable
    of_call: Ints
    faults: dict[int, DeadLetterFault]

    def part(self, first: int, last: int) -> DecodedMany:
        """Of the messages from `first` to before `last`."""
        start, end = np.searchsorted(self.of_call, (first, last))
        faults = {number - first: fault for number, fault in self.faults.items() if first <= number < last}
        return DecodedMany(self.calls.take(np.arange(start, end)), self.of_call[start:end] - first, faults)


class Decoder:
    """From the bytes of one message to its calls. Pure; one per worker, since the price book caches.

    Args:
        further_axes: attribution fields or `labels.<name>` that become `Call.further`, in this order.
        age_max_seconds, ahead_max_seconds: how far an event's time may lie before and after its record's.
        book: prices what the producer does not.
    """

    def __init__(
        self, further_axes: Sequence[str], age_max_seconds: int, ahead_max_seconds: int, book: PriceBook
    ) -> None:
        self._normaliser = Normaliser(further_axes, age_max_seconds, ahead_max_seconds, book)
        self._hot = HotPath(further_axes, age_max_seconds, ahead_max_seconds, book)
        self._axes = (*AXES, *further_axes)

    def decode(self, value: bytes | None, headers: Headers, record_ms: int | None) -> Decoded:
        """The calls of one message: one for most, several for an array, none where a vendor repeats known usage.

        All or nothing: one bad element refuses the message, so that what is dead-lettered was not counted.
        """
        try:
            return tuple(self._normaliser.call(event, record_ms) for event in to_events(value, headers))
        except RefusedError as refused:
            return refused.fault
        except Exception as error:
            # A fault of ours must not stop the stream; the bytes are kept, and the metric of this reason is alarmed.
            return DeadLetterFault(Reason.INTERNAL_ERROR, "", f"{type(error).__name__}: {error}"[:300])

    def decode_many(
        self, values: Sequence[bytes | None], headers: Sequence[Headers], record_ms: Sequence[int]
    ) -> DecodedMany:
        """`decode` for many messages, in their order; several times as fast where they are plain canonical events.

        `record_ms` is negative where nobody said.
        """
        try:
            calls, of_call = self._hot.table(values, headers, np.array(record_ms, np.int64))
        except Exception:
            # Whatever it is, the slow path either takes a message or says why not.
            calls, of_call = CallTable.of((), Names(self._axes)), np.zeros(0, np.int64)
        if len(of_call) == len(values):
            return DecodedMany(calls, of_call, {})
        return self._with_others(calls, of_call, values, headers, record_ms)

    def _with_others(
        self,
        calls: CallTable,
        of_call: Ints,
        values: Sequence[bytes | None],
        headers: Sequence[Headers],
        record_ms: Sequence[int],
    ) -> DecodedMany:
        """What the hot path declined, each for itself."""
        faults: dict[int, DeadLetterFault] = {}
        others: list[Call] = []
        of_other: list[int] = []
        for number in np.setdiff1d(np.arange(len(values)), of_call).tolist():
            at_ms = record_ms[number]
            result = self.decode(values[number], headers[number], None if at_ms < 0 else at_ms)
            if isinstance(result, DeadLetterFault):
                faults[number] = result
                continue
            others.extend(result)
            of_other.extend([number] * len(result))
        if others:
            of_call = np.concatenate((of_call, np.array(of_other, np.int64)))
            order = np.argsort(of_call, kind="stable")
            calls, of_call = calls.joined(CallTable.of(others, calls.names)).take(order), of_call[order]
        return DecodedMany(calls, of_call, faults)


def to_events(value: bytes | None, headers: Headers) -> list[CostEvent]:
    """The canonical events of one message, unpriced, in any accepted format.

    Raises:
        RefusedError: with reason, path and detail.
    """
    if not value:
        raise RefusedError(Reason.EMPTY, "", "no bytes; a tombstone has no meaning on this topic")
    if headers:
        _refuse_batch(headers)
    if len(value) > EVENT_BYTES_MAX:
        raise RefusedError(Reason.TOO_LARGE, "", f"over {EVENT_BYTES_MAX} bytes, the most that is taken")
    try:
        return [_canonical(value, headers)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, NotCanonicalError):
        return _other(value, headers)


def _refuse_batch(headers: Headers) -> None:
    """A record that stands for a whole batch, which could not be read."""
    for name, value in headers:
        if name == BATCH_REFUSED_HEADER:
            reason, _, detail = value.decode(errors="backslashreplace").partition(": ")
            if reason in {Reason.BATCH_TOO_LARGE, Reason.BATCH_UNREADABLE}:
                raise RefusedError(Reason(reason), "", detail)


class NotCanonicalError(Exception):
    """Not for the fast path; never leaves this module."""


def _canonical(value: bytes | None, headers: Headers) -> CostEvent:
    if not value or len(value) > EVENT_BYTES_MAX or (headers and not cloudevents.is_plain_json(headers)):
        raise NotCanonicalError
    if not value.isascii():
        value.decode()  # msgspec does not look at the text of fields that it skips
    return decode_event(value)


def _other(value: bytes, headers: Headers) -> list[CostEvent]:
    record = _parse(value)
    if not headers or not cloudevents.is_cloudevent(headers):
        return _events(record)
    try:
        return _events(cloudevents.data_of(record, headers))
    except cloudevents.UnsupportedError as error:
        raise RefusedError(Reason.UNSUPPORTED_CLOUDEVENT, error.attribute, str(error)) from error


def _parse(value: bytes) -> Any:
    from tokenfuse.ingest.deadletter import malformed

    try:
        value.decode()
        return parse_json(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(value, error) from error


def _events(record: Any) -> list[CostEvent]:
    if isinstance(record, list):
        return _array(record)
    if not isinstance(record, dict):
        raise RefusedError(
            Reason.NOT_AN_OBJECT, "", f"a JSON object is expected, got {type(record).__name__}"
        )
    return _object(record)


def _array(records: list[Any]) -> list[CostEvent]:
    if not records:
        raise RefusedError(Reason.EMPTY, "", "an array without events")
    events: list[CostEvent] = []
    for index, record in enumerate(records):
        try:
            if not isinstance(record, dict):
                raise RefusedError(Reason.NOT_AN_OBJECT, "", "every element must be a JSON object")
            events.extend(_object(record))
        except RefusedError as error:
            raise error.inside(f"[{index}]") from error
    return events


def _object(record: Mapping[str, Any]) -> list[CostEvent]:
    for vendor in FORMATS:
        if vendor.recognises(record):
            return vendor.to_events(record)
    if cloudevents.is_structured(record):
        return _unwrapped(record)
    return [canonical_event(record)]


def _unwrapped(record: Mapping[str, Any]) -> list[CostEvent]:
    """A structured CloudEvent without headers, as it stands in files."""
    try:
        return _events(cloudevents.unwrap(record))
    except cloudevents.UnsupportedError as error:
        raise RefusedError(Reason.UNSUPPORTED_CLOUDEVENT, error.attribute, str(error)) from error
