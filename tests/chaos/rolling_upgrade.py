"""Two agents, two ingest workers and the decider become the next release one by one while calls flow: no sum changes.

Five processes at once need more than a loaded CI machine has: `python -m tests.chaos.rolling_upgrade [SEED]`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.load import load
from tests.support.ingest import eventually
from tests.support.kafka_cluster import KafkaCluster
from tests.support.pipeline import NEXT_RELEASE, Pipeline
from tests.support.traffic import Traffic

WORKERS = ("decider-1", "agents-1", "agents-2", "ingest-1", "ingest-2")
"""Readers before writers, as docs/operations.md says; each keeps its name."""

CALLS_AFTER = 200


async def run(seed: int, directory: Path) -> None:
    """Raises where a sum is wrong."""
    traffic = Traffic(seed)
    with (
        KafkaCluster(directory / "kafka") as kafka,
        Pipeline(directory, kafka.bootstrap_servers, "") as pipeline,
    ):
        await pipeline.create_topics()
        for name in WORKERS:
            pipeline.start(name)
        async with load(pipeline, traffic):
            await asyncio.to_thread(pipeline.wait_ready, *WORKERS)
            for name in WORKERS:
                # One that has just come back after a refusal may not listen yet.
                assert await asyncio.to_thread(pipeline.stop, name) in {0, -signal.SIGTERM}
                pipeline.start(name, NEXT_RELEASE)
                await asyncio.to_thread(pipeline.wait_ready, name)
                print(f"{name} is the next release after {len(traffic.events)} calls", flush=True)
            wanted = len(traffic.events) + CALLS_AFTER

            async def out() -> bool:
                return len(traffic.events) >= wanted

            await eventually(out, "more calls")
        await pipeline.check(traffic.truth)
        scopes = len(traffic.truth)
        print(
            f"seed {seed}: {len(traffic.events)} calls, {scopes} scopes, 0 wrong; exits: {dict(pipeline.exits)}"
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="rolling-upgrade-") as name:
        asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else 2, Path(name)))
