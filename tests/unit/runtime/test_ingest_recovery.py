"""Several partitions taken over at once: all of them or none."""

from __future__ import annotations

import asyncio

import pytest

from tokenfuse.runtime.ingest.errors import LostRecordsError
from tokenfuse.runtime.ingest.recovery import Recovery
from tokenfuse.runtime.settings import Settings


class Fakes(Recovery):
    """Partitions that are taken, lost or never ready."""

    def __init__(self) -> None:
        super().__init__(None, None, Settings())  # type: ignore[arg-type]
        self.cancelled: list[int] = []

    async def holding(self, source, fence):
        if fence == "lost":
            raise LostRecordsError("events", source, 0, 1)
        if fence == "slow":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.append(source)
                raise
        return fence


async def test_every_partition_is_taken_with_its_own_fence() -> None:
    assert await Fakes().holdings({3: "a", 1: "b"}) == {3: "a", 1: "b"}


async def test_a_partition_that_lost_records_ends_the_others_before_it_is_told() -> None:
    recovery = Fakes()

    with pytest.raises(LostRecordsError):
        await recovery.holdings({0: "lost", 1: "slow"})

    assert recovery.cancelled == [1]
