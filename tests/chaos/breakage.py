"""Broken builds for the control: what the harness must find. Applied by `worker.py --break NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def without_deduplication(_traps: Any) -> None:
    """Every message counts, said twice or not."""
    from tokenfuse.ingest.corrections import Resolver

    Resolver._known = lambda self, index: None  # type: ignore[assignment,method-assign]


def ack_before_changelog(_traps: Any) -> None:
    """The obvious protocol: messages are committed before their state is durable, and the commit is the position.

    The agents' own check for gaps in a source is off too, since it would end the process where money is lost.
    """
    from tokenfuse.runtime.statelog import faust_internals
    from tokenfuse.runtime.statelog.checkpoint import Checkpointer
    from tokenfuse.runtime.statelog.owner import Owner
    from tokenfuse.runtime.statelog.run import Worker
    from tokenfuse.windows.clocks import Clocks, Contiguity

    durable, on_recover, restore = Checkpointer._durable, Worker._on_recover, Owner._restore
    committed: dict[int, int] = {}

    async def acked_first(self: Checkpointer, taken: Any) -> None:
        for partition, cut, _ in taken:
            partition.settle(cut.offset, partition.settled_at, self._ack)
        await faust_commit(self._ack)
        await durable(self, taken)

    async def faust_commit(ack: Any) -> None:
        await ack.__self__._app.consumer.commit()

    async def read_commits(self: Worker) -> None:
        topic = self._spec.input_topic
        for partition in faust_internals.assigned_partitions(self._app, topic):
            tp = faust_internals.TP(topic, partition)
            offsets = await self._app.consumer._thread.call_thread(
                self._app.consumer._thread._ensure_consumer().committed, tp
            )
            committed[partition] = offsets or 0
        await on_recover(self)

    def from_commit(self: Owner, index: int, values: Any) -> Any:
        partition = restore(self, index, values)
        partition.next_offset = max(partition.next_offset, committed.get(index, 0))
        return partition

    Checkpointer._durable = acked_first  # type: ignore[method-assign]
    Worker._on_recover = read_commits  # type: ignore[method-assign]
    Owner._restore = from_commit  # type: ignore[method-assign]
    Clocks.check = lambda self, block: (  # type: ignore[assignment,method-assign]
        Contiguity.PASSED
        if block.source in self.sources and block.b <= self.sources[block.source].seen
        else Contiguity.NEW
    )


BREAKAGES: dict[str, Callable[[Any], None]] = {
    "dedup": without_deduplication,
    "ack-before-changelog": ack_before_changelog,
}
