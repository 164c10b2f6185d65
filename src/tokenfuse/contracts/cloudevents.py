"""CloudEvents 1.0.2, Kafka binding: binary mode (attributes in `ce_` headers) and structured mode (all in the value).

Own and small because the general library parses per message; a test compares both.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

SPEC_VERSION: Final = "1.0"
STRUCTURED: Final = b"application/cloudevents"
STRUCTURED_JSON: Final = "application/cloudevents+json"
EVENT_TYPE: Final = "io.tokenfuse.cost_event.v1"

Headers = Sequence[tuple[str, bytes]]


class UnsupportedError(ValueError):
    """A CloudEvent that cannot be read; `attribute` says which attribute is the reason."""

    def __init__(self, attribute: str, message: str) -> None:
        super().__init__(message)
        self.attribute = attribute


def is_cloudevent(headers: Headers) -> bool:
    """Whether the headers say CloudEvents, in either mode."""
    return any(
        (lowered := name.lower()) == "ce_specversion"
        or (lowered == "content-type" and value.startswith(STRUCTURED))
        for name, value in headers
    )


def is_plain_json(headers: Headers) -> bool:
    """Whether the value is the event itself: no CloudEvent, or one in binary mode that `data_of` would not refuse."""
    for name, value in headers:
        if name == "ce_specversion":
            if value != b"1.0":
                return False
        elif name.lower() == "content-type" and value != b"application/json":
            return False  # structured mode, or to be looked at closely
    return True


def data_of(document: Any, headers: Headers) -> Any:
    """The event that a CloudEvent carries; `id` and `time` of the envelope fill in where the event has none.

    Args:
        document: the parsed value of the message. headers: its headers, of which `is_cloudevent` is true.

    Raises:
        UnsupportedError: another version, a batch, data that are not JSON, or no data.
    """
    content_type = next((value for name, value in headers if name.lower() == "content-type"), b"")
    if content_type.startswith(STRUCTURED):
        return _structured(document, content_type)
    attributes = {
        name[3:].lower(): value.decode(errors="replace")
        for name, value in headers
        if name.lower().startswith("ce_")
    }
    _check(attributes, content_type.decode(errors="replace"))
    return _filled(document, attributes)


def unwrap(document: Mapping[str, Any]) -> Any:
    """The event inside a structured CloudEvent that came without headers, e.g. as a line of a file.

    Raises:
        UnsupportedError: as `data_of`.
    """
    return _structured(document, STRUCTURED_JSON.encode())


def is_structured(document: Mapping[str, Any]) -> bool:
    """Whether an object is a structured CloudEvent."""
    return "specversion" in document and ("data" in document or "data_base64" in document)


def to_binary(data: bytes, attributes: Mapping[str, str]) -> tuple[list[tuple[str, bytes]], bytes]:
    """Headers and value of a message in binary mode, for JSON data.

    Args:
        attributes: `id`, `source`, `type`, and any others; `specversion` is added.
    """
    named = {"specversion": SPEC_VERSION, **attributes}
    headers = [(f"ce_{name}", value.encode()) for name, value in named.items()]
    return [*headers, ("content-type", b"application/json")], data


def to_structured(data: bytes, attributes: Mapping[str, str]) -> tuple[list[tuple[str, bytes]], bytes]:
    """Headers and value of a message in structured mode, for JSON data. Arguments as `to_binary`."""
    document = {
        "specversion": SPEC_VERSION,
        **attributes,
        "datacontenttype": "application/json",
        "data": msgspec.Raw(data),
    }
    return [("content-type", STRUCTURED_JSON.encode())], msgspec.json.encode(document)


def _structured(document: Any, content_type: bytes) -> Any:
    # `application/cloudevents-batch+json` is for HTTP; other formats (`+avro`, `+protobuf`) are no JSON.
    if content_type.partition(b";")[0].strip() not in (STRUCTURED_JSON.encode(), STRUCTURED):
        raise UnsupportedError(
            "content-type", f"{content_type.decode(errors='replace')}: send {STRUCTURED_JSON}"
        )
    if not isinstance(document, dict):
        raise UnsupportedError("", "a structured CloudEvent must be a JSON object")
    _check(document, document.get("datacontenttype") or "application/json")
    if "data_base64" in document:
        return _filled(_base64(document["data_base64"]), document)
    if "data" not in document:
        raise UnsupportedError("data", "a CloudEvent without data has nothing to count")
    return _filled(document["data"], document)


def _check(attributes: Mapping[str, Any], data_content_type: Any) -> None:
    version = attributes.get("specversion")
    if version != SPEC_VERSION:
        raise UnsupportedError("specversion", f"CloudEvents {version!r}: only {SPEC_VERSION} is read")
    media = str(data_content_type).partition(";")[0].strip().lower()
    if media not in ("", "application/json", "text/json") and not media.endswith("+json"):
        raise UnsupportedError("datacontenttype", f"{media}: only JSON is read")


def _base64(text: Any) -> Any:
    try:
        return msgspec.json.decode(base64.b64decode(text, validate=True))
    except (ValueError, TypeError, msgspec.DecodeError) as error:
        raise UnsupportedError("data_base64", f"not base64 of JSON: {error}") from error


def _filled(data: Any, attributes: Mapping[str, Any]) -> Any:
    if not isinstance(data, dict):
        return data
    envelope = {name: attributes[name] for name in ("id", "time") if name in attributes}
    return {**envelope, **data}
