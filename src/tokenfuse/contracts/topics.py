"""Topics: names, keys, partitions and cleanup in one place (DESIGN section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
BLOCK_BYTES_MAX: Final = 8 * 1024 * 1024
"""Largest message of the internal topics; clients and topics are configured alike."""

EVENT_BYTES_MAX: Final = 1024 * 1024
"""Largest event taken (EVENTS.md). The source topic takes more, so that a larger one is dead-lettered, not refused."""


class Topic(Struct, frozen=True):
    """One topic as `topics create` makes it and `topics check` compares it.

    Attributes:
        partitions: 0 means: as settings say.
        config: Kafka topic configuration.
    """

    name: str
    key: str
    partitions: int
    config: Mapping[str, str]


EVENTS: Final = "llm.cost.events"
DELTAS: Final = "tokenfuse.deltas"
IDS: Final = "tokenfuse.ids"
FENCES: Final = "tokenfuse.fences"
SIGNALS: Final = "tokenfuse.signals"
ALERTS: Final = "tokenfuse.alerts"
KILLSWITCH: Final = "tokenfuse.killswitch"
EXPECTATIONS: Final = "tokenfuse.expectations"
ROLLUPS: Final = "tokenfuse.rollups"
COMMANDS: Final = "tokenfuse.commands"
DEADLETTER: Final = "tokenfuse.deadletter"
AGENTS_CHECKPOINT: Final = "tokenfuse.agents-checkpoint"
DECIDER_CHECKPOINT: Final = "tokenfuse.decider-checkpoint"

_BIG = {"max.message.bytes": str(BLOCK_BYTES_MAX)}
_DELETE = {"cleanup.policy": "delete"}
_COMPACT = {"cleanup.policy": "compact"}
_SETTLE = {"min.compaction.lag.ms": str(10 * MINUTE_MS)}
"""Rows of a checkpoint stay until its head is surely written (ADR 3)."""


def topics(source_partitions: int, deltas_partitions: int, dedup_horizon_seconds: int) -> tuple[Topic, ...]:
    """Every topic TokenFuse needs.

    Args:
        source_partitions: of `llm.cost.events`, `tokenfuse.ids` and `tokenfuse.fences`.
        deltas_partitions: of `tokenfuse.deltas` and the agents' checkpoints; fixed for ever.
        dedup_horizon_seconds: how long ids are kept.
    """
    horizon_ms = max(2 * dedup_horizon_seconds * 1000, 10 * MINUTE_MS)
    return (
        Topic(EVENTS, "tenant", source_partitions, {
            **_DELETE, "message.timestamp.type": "LogAppendTime", "max.message.bytes": str(4 * EVENT_BYTES_MAX),
        }),
        Topic(DELTAS, "output partition", deltas_partitions, {**_DELETE, **_BIG, "retention.ms": str(7 * DAY_MS)}),
        Topic(IDS, "source partition", source_partitions, {**_DELETE, **_BIG, "retention.ms": str(horizon_ms)}),
        Topic(FENCES, "source partition", source_partitions, {**_COMPACT}),
        Topic(SIGNALS, "rule, scope", 1, {**_DELETE, **_BIG, "retention.ms": str(7 * DAY_MS)}),
        Topic(ALERTS, "fingerprint", 1, {**_COMPACT, "min.compaction.lag.ms": str(7 * DAY_MS)}),
        Topic(KILLSWITCH, "canonical scope", 1, {**_COMPACT}),
        Topic(EXPECTATIONS, "planned change, or fingerprint", 1, {**_COMPACT}),
        Topic(ROLLUPS, "scope, granularity, pane", deltas_partitions, {
            "cleanup.policy": "compact,delete", "retention.ms": str(31 * DAY_MS),
        }),
        Topic(COMMANDS, "target", 1, {**_DELETE, **_BIG, "retention.ms": str(31 * DAY_MS)}),
        Topic(DEADLETTER, "tenant", source_partitions, {
            # The largest record of the source, and what is said about it.
            **_DELETE, **_BIG, "retention.ms": str(31 * DAY_MS),
        }),
        Topic(AGENTS_CHECKPOINT, "bucket row", deltas_partitions, {**_COMPACT, **_BIG, **_SETTLE}),
        Topic(DECIDER_CHECKPOINT, "bucket row", 1, {**_COMPACT, **_BIG, **_SETTLE}),
    )  # fmt: skip
