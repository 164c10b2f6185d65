"""Our CloudEvents fast path against the `cloudevents` library, both ways, both modes."""

import base64
import json
from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings.kafka import (
    KafkaMessage,
    from_binary,
    from_structured,
    to_binary,
    to_structured,
)
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from tokenfuse.contracts import cloudevents as ours

DATA = {"id": "e-1", "tenant": "acme", "cost_usd": "0.25"}
ATTRIBUTES = {
    "id": "ce-1",
    "source": "/gateway/eu",
    "type": ours.EVENT_TYPE,
    "time": "2025-11-24T16:00:00Z",
    "partitionkey": "acme",
}


def library_event() -> CloudEvent:
    attributes = {**ATTRIBUTES, "specversion": "1.0", "datacontenttype": "application/json"}
    return CloudEvent({**attributes, "time": datetime(2025, 11, 24, 16, tzinfo=UTC)}, DATA)


def headers_of(message: KafkaMessage) -> list[tuple[str, bytes]]:
    return [(name, value) for name, value in message.headers.items()]


def test_header_names_in_capitals_are_understood():
    headers = [("CE_specversion", b"1.0"), ("CE_id", b"ce-1"), ("Content-Type", b"application/json")]
    assert ours.is_cloudevent(headers)
    assert ours.data_of({}, headers) == {"id": "ce-1"}


@pytest.mark.parametrize("write", [to_binary, to_structured])
def test_what_the_library_writes_is_read(write):
    message = write(library_event(), JSONFormat())
    headers = headers_of(message)
    assert ours.is_cloudevent(headers)
    assert ours.data_of(json.loads(message.value), headers) == {"time": "2025-11-24T16:00:00Z", **DATA}


def test_what_is_written_in_binary_mode_the_library_reads():
    headers, value = ours.to_binary(json.dumps(DATA).encode(), ATTRIBUTES)
    event = from_binary(KafkaMessage(headers=dict(headers), key=None, value=value), JSONFormat())
    assert event.get_data() == DATA
    assert (event.get_id(), event.get_type(), event.get_extension("partitionkey")) == (
        "ce-1",
        ours.EVENT_TYPE,
        "acme",
    )


def test_what_is_written_in_structured_mode_the_library_reads():
    headers, value = ours.to_structured(json.dumps(DATA).encode(), ATTRIBUTES)
    event = from_structured(KafkaMessage(headers=dict(headers), key=None, value=value), JSONFormat())
    assert event.get_data() == DATA
    assert (event.get_id(), event.get_source()) == ("ce-1", "/gateway/eu")


def test_attributes_outside_ascii_travel_as_utf8_like_the_library_s():
    headers, value = ours.to_binary(b"{}", {**ATTRIBUTES, "subject": "Zürich 100 %"})
    event = from_binary(KafkaMessage(headers=dict(headers), key=None, value=value), JSONFormat())
    assert event.get_subject() == "Zürich 100 %"
    back = ours.data_of({}, [*headers[:1], ("ce_id", dict(headers)["ce_subject"])])
    assert back["id"] == "Zürich 100 %"


def test_envelope_fills_in_what_the_data_leave_out():
    headers, _ = ours.to_binary(b"", ATTRIBUTES)
    assert ours.data_of({"tenant": "acme"}, headers) == {
        "id": "ce-1", "time": "2025-11-24T16:00:00Z", "tenant": "acme",
    }  # fmt: skip


def test_base64_data_are_decoded():
    document = {
        **ATTRIBUTES,
        "specversion": "1.0",
        "data_base64": base64.b64encode(json.dumps(DATA).encode()).decode(),
    }
    assert ours.unwrap(document)["tenant"] == "acme"


@pytest.mark.parametrize(
    ("changes", "content_type", "attribute"),
    [
        ({"specversion": "0.3"}, "application/cloudevents+json", "specversion"),
        ({"specversion": None}, "application/cloudevents+json", "specversion"),
        ({"datacontenttype": "application/xml"}, "application/cloudevents+json", "datacontenttype"),
        ({"datacontenttype": 5}, "application/cloudevents+json", "datacontenttype"),
        ({"data_base64": "%%"}, "application/cloudevents+json", "data_base64"),
        ({"data_base64": 5}, "application/cloudevents+json", "data_base64"),
        ({}, "application/cloudevents-batch+json", "content-type"),
        ({}, "application/cloudevents+avro", "content-type"),
    ],
)
def test_what_cannot_be_read_names_its_attribute(changes, content_type, attribute):
    document = {**ATTRIBUTES, "specversion": "1.0", "data": DATA, **changes}
    with pytest.raises(ours.UnsupportedError) as raised:
        ours.data_of(document, [("content-type", content_type.encode())])
    assert raised.value.attribute == attribute


def test_an_envelope_without_data_has_nothing_to_count():
    with pytest.raises(ours.UnsupportedError, match="without data"):
        ours.data_of(
            {**ATTRIBUTES, "specversion": "1.0"}, [("content-type", b"application/cloudevents+json")]
        )


def test_binary_data_of_another_media_type_are_refused():
    headers = [("ce_specversion", b"1.0"), ("content-type", b"application/avro")]
    with pytest.raises(ours.UnsupportedError):
        ours.data_of({}, headers)


def test_ordinary_headers_are_no_cloudevent():
    assert not ours.is_cloudevent([("content-type", b"application/json"), ("traceparent", b"00-x")])


@pytest.mark.parametrize(
    ("headers", "plain"),
    [
        ([], True),
        ([("ce_specversion", b"1.0"), ("ce_id", b"x"), ("content-type", b"application/json")], True),
        ([("traceparent", b"00-x")], True),
        ([("ce_specversion", b"0.3")], False),
        ([("content-type", b"application/cloudevents+json")], False),
        ([("ce_specversion", b"1.0"), ("Content-Type", b"application/avro")], False),
    ],
)
def test_only_what_needs_no_second_look_is_plain(headers, plain):
    assert ours.is_plain_json(headers) is plain
