"""By what slices are cut: one string that differs whenever the same records could give other blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenfuse.contracts.block import FORMAT
from tokenfuse.contracts.ids import IDS_FORMAT
from tokenfuse.ingest.aggregate import Aggregator
from tokenfuse.ingest.decode import Decoder
from tokenfuse.ingest.slices import SliceCutter
from tokenfuse.pricing.book import PriceBook

if TYPE_CHECKING:
    from tokenfuse.runtime.settings import Settings

CUT_VERSION: Final = 1
"""Raise it with every change of mapping, normalising or aggregating after which the same records give other bytes."""


class Recipe:
    """What every partition's cutter is made of."""

    def __init__(self, settings: Settings) -> None:
        book = PriceBook()
        book.load()  # before partitions are held, not while the first slice waits
        self._settings, self._price_version = settings, book.version
        self._aggregator = Aggregator(settings.further_axes, settings.deltas_partitions)
        self._decoder = Decoder(
            settings.further_axes, settings.event_age_seconds_max, settings.event_ahead_seconds_max, book
        )

    def __str__(self) -> str:
        s = self._settings
        return (
            f"{self._price_version}, cut {CUT_VERSION}, block {FORMAT}, ids {IDS_FORMAT}, "
            f"{s.deltas_partitions} partitions, axes {'+'.join(s.further_axes) or 'none'}, "
            f"horizon {s.dedup_horizon_seconds} s, age {s.event_age_seconds_max} s, ahead {s.event_ahead_seconds_max} s"
        )

    def cutter(self, source: int, position: int, record_ms: int = -1, event_ms: int = -1) -> SliceCutter:
        """A cutter of one source partition that knows no id yet."""
        return SliceCutter(
            source,
            self._decoder,
            self._price_version,
            self._aggregator,
            self._settings.dedup_horizon_seconds,
            position,
            record_ms,
            event_ms,
        )
