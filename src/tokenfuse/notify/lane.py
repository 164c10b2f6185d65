"""Lane: one partition of the alerts topic on its way to one integration. Pure: records in, outbox filled.

Three kinds of record: what an earlier life has dealt with (before the committed offset: remembered, not sent), what is
new (sent), and, where an integration is connected for the first time, what is old: of that only the alerts that still
fire are sent, so that a new channel is not flooded with last week.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tokenfuse.contracts.alert import decode_alert

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenfuse.contracts.alert import Alert
    from tokenfuse.notify.outbox import Outbox

OLD_MS: Final = 3_600_000
"""For a new integration: records older than this when it is connected are old."""

PENDING_MAX: Final = 1000
"""Transitions on their way; a fuller outbox stops reading."""


class Lane:
    """What stands between the log and the outbox.

    Args:
        outbox: where transitions go.
        committed: the group's offset; None: the integration is new.
        now_ms: wall clock at the start.
        on_unreadable: told of a record that is no alert, with its offset and the error.
    """

    def __init__(
        self, outbox: Outbox, committed: int | None, now_ms: int, on_unreadable: Callable[[int, str], None]
    ) -> None:
        self.outbox = outbox
        self._history_end = committed or 0
        self._old_before_ms = now_ms - OLD_MS if committed is None else None
        self._old: dict[str, tuple[int, Alert]] = {}
        self._on_unreadable = on_unreadable

    @property
    def is_full(self) -> bool:
        """Whether to stop reading for now."""
        return len(self.outbox) >= PENDING_MAX

    @property
    def is_calm(self) -> bool:
        """Whether nothing is on its way, neither to the receiver nor to the group's offset."""
        return not self._old and not len(self.outbox) and self.committable() is None

    def take(
        self, offset: int, key: bytes | None, value: bytes | None, timestamp_ms: int, now_seconds: float
    ) -> None:
        """Take one record; one that was taken before is ignored."""
        if offset < self.outbox.position:
            return
        alert = self._decode(offset, key, value)
        if alert is None or offset < self._history_end:
            self.outbox.pass_over(offset)
            if alert is not None:
                self.outbox.recall(alert)
        elif self._old_before_ms is not None and 0 < timestamp_ms < self._old_before_ms:
            self.outbox.pass_over(offset)
            self._old[alert.fingerprint] = (offset, alert)
        else:
            self.caught_up(now_seconds)
            self.outbox.offer(offset, alert, now_seconds)

    def caught_up(self, now_seconds: float) -> None:
        """The end of the old records: of each alert, the last transition is offered if it still fires."""
        for offset, alert in sorted(self._old.values(), key=lambda item: item[0]):
            if alert.state == "resolved":
                self.outbox.recall(alert)
            else:
                self.outbox.offer(offset, alert, now_seconds)
        self._old.clear()

    def committable(self) -> int | None:
        """The offset to commit; None while it is open which old records will be sent, and before there is news."""
        offset = self.outbox.committable()
        return None if self._old or offset <= self._history_end else offset

    def commit(self, offset: int) -> None:
        """The broker has taken this offset."""
        self._history_end = max(self._history_end, offset)

    def _decode(self, offset: int, key: bytes | None, value: bytes | None) -> Alert | None:
        if value is None:
            self.outbox.forget((key or b"").decode("utf-8", "replace"))
            return None
        try:
            return decode_alert(value)
        except msgspec.DecodeError as error:
            self._on_unreadable(offset, str(error))
            return None
