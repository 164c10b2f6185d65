"""Three brokers, every topic on all of them, two needed for a write: kill -9 of a broker under load changes no sum.

Needs 1.2 GB and about two minutes, so it is a command: `python -m tests.chaos.leader_moves [SEED]`.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.load import load
from tests.support.ingest import eventually
from tests.support.pipeline import Pipeline
from tests.support.three_brokers import ThreeBrokers
from tests.support.traffic import Traffic

WORKERS = ("ingest-1", "ingest-2", "agents-1", "agents-2", "decider-1")
KILLS = 4
CALLS_BETWEEN = 300


async def run(seed: int, directory: Path) -> None:
    """Kill brokers 2 and 3 in a random order, each back before the next; raises where a sum is wrong."""
    rng, traffic = random.Random(seed), Traffic(seed)
    with (
        ThreeBrokers(directory / "kafka") as brokers,
        Pipeline(directory, brokers.bootstrap_servers, "", replication_factor=3) as pipeline,
    ):
        await pipeline.create_topics()
        for name in WORKERS:
            pipeline.start(name)
        await asyncio.to_thread(pipeline.wait_ready, "ingest-1", "agents-1")
        async with load(pipeline, traffic):
            for _ in range(KILLS):
                node = rng.choice((2, 3))
                await more(traffic)
                print(f"kill -9 of broker {node} after {len(traffic.events)} calls", flush=True)
                await asyncio.to_thread(brokers.kill, node)
                await more(traffic)
                await asyncio.to_thread(brokers.start, node)
        await pipeline.check(traffic.truth)
        print(
            f"seed {seed}: {len(traffic.events)} calls, {len(traffic.truth)} scopes, 0 wrong; exits: {dict(pipeline.exits)}"
        )


async def more(traffic: Traffic) -> None:
    """Until so many further calls are out."""
    wanted = len(traffic.events) + CALLS_BETWEEN

    async def out() -> bool:
        return len(traffic.events) >= wanted

    await eventually(out, "more calls")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="leader-moves-") as name:
        asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1, Path(name)))
