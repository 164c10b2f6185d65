"""How far ingest is behind its source, as metrics, and as a log line while it is far behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from tokenfuse.runtime import metrics
from tokenfuse.runtime.seldom import Seldom

if TYPE_CHECKING:
    from collections.abc import Mapping

BEHIND_SECONDS_MAX: Final = 60.0

log = structlog.get_logger(__name__)


class Backlog:
    """Told once a second where the partitions stand."""

    def __init__(self) -> None:
        """Nothing is known to be behind."""
        self._seldom = Seldom()
        self._is_behind = False
        self._known: set[int] = set()

    def given_up(self) -> None:
        """The partitions are another worker's: their last figures must not stand here for ever."""
        for source in self._known:
            metrics.INGEST_LAG_RECORDS.remove(str(source))
            metrics.INGEST_LAG_SECONDS.remove(str(source))
        self._known.clear()
        self._is_behind = False

    def note(self, stands: Mapping[int, tuple[int, int]], now_ms: int) -> None:
        """Sets the metrics, and says so where a partition is behind by more than a minute.

        Args:
            stands: by source partition: records not yet cut, and the record clock (-1: nothing was cut).
        """
        far = {}
        self._known |= stands.keys()
        for source, (records, record_ms) in stands.items():
            seconds = max(now_ms - record_ms, 0) / 1000 if records > 0 and record_ms >= 0 else 0.0
            metrics.INGEST_LAG_RECORDS.labels(partition=str(source)).set(max(records, 0))
            metrics.INGEST_LAG_SECONDS.labels(partition=str(source)).set(seconds)
            if seconds > BEHIND_SECONDS_MAX:
                far[source] = {"records": records, "seconds": round(seconds)}
        if far and self._seldom.due():
            log.warning(
                "ingest is behind: caps and alerts are as late; it works at full speed, add workers if it lasts",
                partitions=far,
            )
        if self._is_behind and not far:
            log.info("ingest is no longer behind")
        self._is_behind = bool(far)
