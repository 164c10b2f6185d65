"""Times at the borders: RFC 3339 strings; inside: integer milliseconds since the epoch, UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def to_rfc3339(ms: int) -> str:
    """Milliseconds since the epoch to RFC 3339 with `Z`; milliseconds are shown only where they are not zero.

    >>> to_rfc3339(1_764_000_000_000), to_rfc3339(1_764_000_000_250)
    ('2025-11-24T16:00:00Z', '2025-11-24T16:00:00.250Z')
    """
    text = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{ms % 1000:03d}Z" if ms % 1000 else "Z")


def from_rfc3339(text: str) -> int:
    """RFC 3339 with an offset to milliseconds since the epoch.

    Raises:
        ValueError: not a time, or without an offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = f"time without an offset: {text!r}"
        raise ValueError(msg)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000
