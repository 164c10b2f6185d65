"""HTTP: what a status and its headers mean for a notification."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from tokenfuse.notify.contract import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

RETRY_LATER_SECONDS: Final = 60.0
"""Between tries of what only an operator can heal."""


def status_reason(status: int) -> Reason | None:
    """Reason of a status that is worth another try; None: not by its status."""
    if status == 429:
        return Reason.RATE_LIMITED
    return Reason.SERVER_ERROR if status >= 500 else None


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds, as Slack and PagerDuty send it; None where absent or a date. Keys in lower case."""
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
