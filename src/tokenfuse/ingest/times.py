"""Event times: RFC 3339 or a number since the epoch, to milliseconds; and which of them are believed."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.deadletter import Reason
from tokenfuse.ingest.fault import RefusedError

SECONDS_BELOW: Final = 10**11
"""A number below this is seconds (it would be the year 5138), any other milliseconds (it would be March 1973)."""

EARLIEST_MS: Final = 1_420_070_400_000
LATEST_MS: Final = 4_102_444_800_000
"""2015-01-01 and 2100-01-01: what `replay` and `convert` ask for."""


def time_ms(time: str | float) -> int:
    """Milliseconds since the epoch; of a number the nearest, of a text the one begun.

    Raises:
        RefusedError: bad_time: not RFC 3339, without an offset, or not a number of this planet.
    """
    if isinstance(time, str):
        return _rfc3339_ms(time)
    try:
        return round(time * 1000) if abs(time) < SECONDS_BELOW else round(time)
    except (OverflowError, ValueError):  # infinite, or NaN
        raise RefusedError(Reason.BAD_TIME, "time", f"not a time: {time}") from None


def _rfc3339_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is not None and moment.tzinfo is None:
        detail = f"a time without an offset: {text[:40]!r}; write 2025-11-24T16:00:00Z or ...+01:00"
        raise RefusedError(Reason.BAD_TIME, "time", detail)
    # fromisoformat takes more of ISO 8601 than RFC 3339 allows (`20251124T16Z`, a date alone).
    if moment is None or len(text) < len("2025-11-24T16:00:00Z") or text[4] != "-":
        raise RefusedError(Reason.BAD_TIME, "time", f"not an RFC 3339 time: {text[:40]!r}")
    # The float is exact to a quarter of a microsecond, so its whole seconds are right; the rest comes from the field.
    return int(moment.timestamp() // 1) * 1000 + moment.microsecond // 1000


def check_time(at_ms: int, earliest_ms: int, latest_ms: int, why: str) -> None:
    """Refuse a time outside the range.

    Raises:
        RefusedError: time_too_old or time_in_future, with `why` in the sentence.
    """
    if at_ms < earliest_ms:
        raise RefusedError(
            Reason.TIME_TOO_OLD, "time", f"{_show(at_ms)} is before {_show(earliest_ms)}: {why}"
        )
    if at_ms > latest_ms:
        raise RefusedError(
            Reason.TIME_IN_FUTURE, "time", f"{_show(at_ms)} is after {_show(latest_ms)}: {why}"
        )


def _show(ms: int) -> str:
    try:
        return to_rfc3339(ms)
    except (OverflowError, ValueError, OSError):
        return "a time beyond the calendar"
