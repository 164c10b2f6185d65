"""Stage 1: source records to delta blocks, exactly once in effect, on any Kafka-compatible broker (DESIGN section 4).

Read in this order: `worker` (the loop), `holding` (one source partition in hand), `fence` (where a slice ends, durably
and under a lease), `outbox` (what a slice sends), `recovery` and `reader` (a partition taken over).
"""

from __future__ import annotations

from tokenfuse.runtime.ingest.worker import run_ingest

__all__ = ["run_ingest"]
