"""Dead letters on `tokenfuse.deadletter`: the original bytes as the value, the rest in headers. Never dropped, never guessed.

A record that is larger than what the topic takes (a compressed batch unfolds to that) is cut there, and the header
`original_bytes` gives its length: the whole of it stands in the source topic at `source_partition`, `source_offset`.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Reason(StrEnum):
    """Why a record was not counted: metric label, log field and header alike."""

    INVALID_UTF8 = "invalid_utf8"
    MALFORMED_JSON = "malformed_json"
    NOT_AN_OBJECT = "not_an_object"
    TOO_LARGE = "too_large"
    EMPTY = "empty"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    NOT_FINITE = "not_finite"
    NEGATIVE_COST = "negative_cost"
    COST_TOO_LARGE = "cost_too_large"
    BAD_TIME = "bad_time"
    TIME_TOO_OLD = "time_too_old"
    TIME_IN_FUTURE = "time_in_future"
    TOKENS_INCONSISTENT = "tokens_inconsistent"
    UNKNOWN_FORMAT = "unknown_format"
    UNSUPPORTED_CLOUDEVENT = "unsupported_cloudevent"
    ORIGINAL_UNKNOWN = "original_unknown"
    MISSING_ATTRIBUTION = "missing_attribution"
    BATCH_TOO_LARGE = "batch_too_large"
    BATCH_UNREADABLE = "batch_unreadable"
    INTERNAL_ERROR = "internal_error"


class DeadLetter(Struct, frozen=True, kw_only=True):
    """One refused record.

    Attributes:
        original: the bytes as they came. path: field path, e.g. `input_tokens` or `labels.team`.
        detail: one sentence for a person; never the whole record.
        source, offset: where it stood; -1 where it came from a file (then offset is the line).
    """

    original: bytes
    reason: Reason
    path: str
    detail: str
    source: int
    offset: int


def headers(letter: DeadLetter) -> list[tuple[str, bytes]]:
    """Kafka headers of a dead letter."""
    return [
        ("reason", letter.reason.value.encode()),
        ("path", letter.path.encode()),
        ("detail", letter.detail.encode()),
        ("source_partition", str(letter.source).encode()),
        ("source_offset", str(letter.offset).encode()),
    ]
