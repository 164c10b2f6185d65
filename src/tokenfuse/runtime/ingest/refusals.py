"""Says in the log that events are refused, at most once a minute: when all of them are, that is a lot of lines less."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog

from tokenfuse.contracts.deadletter import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenfuse.contracts.deadletter import DeadLetter

SAY_SECONDS: Final = 60.0
OF_BATCHES: Final = frozenset({Reason.BATCH_TOO_LARGE, Reason.BATCH_UNREADABLE})
"""Each stands for many events, so each is said."""

log = structlog.get_logger(__name__)


class Refusals:
    """Refused events since the last line. Ingest goes on, whatever their share: the good ones must be counted."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._said_at = float("-inf")
        self._records = 0
        self._reasons: Counter[str] = Counter()

    def note(self, letters: Sequence[DeadLetter], records: int, now_seconds: float) -> None:
        """Counts the letters of a slice of so many records; says so if it is time.

        Args:
            now_seconds: on any clock that does not jump.
        """
        self._records += records
        for letter in letters:
            if letter.reason in OF_BATCHES:
                log.error(
                    "a whole batch is not counted, it is kept as one dead letter: publish its events again, "
                    "in smaller batches",
                    reason=letter.reason.value,
                    detail=letter.detail,
                    partition=letter.source,
                )
        self._reasons.update(letter.reason.value for letter in letters)
        if not letters or now_seconds - self._said_at < SAY_SECONDS:
            return
        last = letters[-1]
        log.warning(
            "events refused, they are kept as dead letters: correct the producer",
            refused=self._reasons.total(),
            of_records=self._records,
            reasons=dict(self._reasons),
            last={"path": last.path, "detail": last.detail, "partition": last.source, "offset": last.offset},
        )
        self._said_at, self._records = now_seconds, 0
        self._reasons.clear()
