"""Refused events: said once a minute, and cut to what the dead-letter topic takes."""

from __future__ import annotations

from structlog.testing import capture_logs

from tokenfuse.contracts.deadletter import DeadLetter, Reason
from tokenfuse.ingest.fault import PATH_CHARS_MAX, RefusedError
from tokenfuse.ingest.record import Record
from tokenfuse.runtime.ingest.outbox import LETTER_BYTES_MAX, as_message
from tokenfuse.runtime.ingest.refusals import SAY_SECONDS, Refusals


def letter(original: bytes = b"{", reason: Reason = Reason.MALFORMED_JSON) -> DeadLetter:
    return DeadLetter(original=original, reason=reason, path="p", detail="d", source=1, offset=7)


def test_refusals_are_said_at_once_and_then_added_up_for_a_minute():
    refusals = Refusals()
    with capture_logs() as lines:
        refusals.note([letter()], 10, now_seconds=0)
        for second in range(1, 60):
            refusals.note([letter(), letter(reason=Reason.EMPTY)], 10, second)
        refusals.note([letter()], 10, SAY_SECONDS)
    assert [(line["refused"], line["of_records"]) for line in lines] == [(1, 10), (119, 600)]
    assert lines[1]["reasons"] == {"malformed_json": 60, "empty": 59}
    assert lines[0]["last"] == {"path": "p", "detail": "d", "partition": 1, "offset": 7}


def test_without_refusals_nothing_is_said():
    with capture_logs() as lines:
        Refusals().note([], 10, now_seconds=0)
    assert lines == []


def record(value: bytes, key: bytes | None = b"k", headers=()) -> Record:
    return Record(7, 0, key, value, tuple(headers))


def test_a_letter_carries_the_record_as_it_came():
    key, value, head = as_message(record(b"{", headers=[("trace", b"1")]), letter())
    assert (key, value, head[0], dict(head)["reason"]) == (b"k", b"{", ("trace", b"1"), b"malformed_json")


def test_a_letter_larger_than_the_topic_takes_is_cut_and_says_how_long_it_was():
    original = bytes(LETTER_BYTES_MAX + 10)
    _, value, head = as_message(record(original), letter(original))
    assert len(value) == LETTER_BYTES_MAX - 1
    assert dict(head)["original_bytes"] == str(len(original)).encode()


def test_headers_that_leave_no_room_go_before_the_value_does():
    headers = [("x", bytes(LETTER_BYTES_MAX))]
    key, value, head = as_message(record(b"{", headers=headers), letter())
    assert (key, value, "x" in dict(head)) == (None, b"{", False)
    assert sum(len(name) + len(text) for name, text in head) < LETTER_BYTES_MAX


def test_a_path_of_any_length_in_any_characters_can_be_a_header():
    fault = RefusedError(Reason.NOT_FINITE, "\ud800" + "x" * 1_000_000, "\udfff").fault
    assert fault.path.encode().startswith(b"\\ud800x")
    assert len(fault.path) <= PATH_CHARS_MAX + len("\\ud800")
    assert fault.detail == "\\udfff"
