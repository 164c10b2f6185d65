"""The network between half of the workers and a real Kafka stalls, passes one way only, and is cut: no sum changes.

Stalls outlast sessions, so it takes a few minutes and is a command: `python -m tests.chaos.network [SEED]`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.load import load
from tests.support.pipeline import Pipeline
from tests.support.processes import wait_until
from tests.support.proxied_kafka import proxied_kafka
from tests.support.traffic import Traffic

if TYPE_CHECKING:
    from tests.support.tcp_proxy import TcpProxy

PAUSE_SECONDS = 0.2  # between cuts; nothing waits for it
CUTS = 15
MOVED_SECONDS = 300.0


def owned(pipeline: Pipeline, name: str) -> int:
    """How many partitions the worker took over last: all of them, when it is alone."""
    lines = [json.loads(line) for line in pipeline.log(name).splitlines() if line.startswith("{")]
    if name.startswith("agents"):
        return len(next((e["positions"] for e in reversed(lines) if e["event"] == "recovered"), {}))
    taken = [e["source"] for e in lines if e["event"] == "partition taken"]
    return len(set(taken[-pipeline.settings.source_partitions :]))


async def moved_to(pipeline: Pipeline, *names: str) -> None:
    """Until these workers have every partition."""
    for name in names:
        await asyncio.to_thread(
            wait_until, lambda name=name: owned(pipeline, name) == 4, f"{name} has everything", MOVED_SECONDS
        )


async def run(seed: int, directory: Path) -> None:
    """Raises where a sum is wrong."""
    cluster, proxy = proxied_kafka(directory / "kafka")
    traffic = Traffic(seed)
    with cluster, Pipeline(directory, cluster.bootstrap_servers, "") as pipeline:
        await pipeline.create_topics()
        async with proxy:
            await stalled_and_cut(pipeline, proxy, traffic)
            await pipeline.check(traffic.truth)
        scopes = len(traffic.truth)
        print(
            f"seed {seed}: {len(traffic.events)} calls, {scopes} scopes, 0 wrong; exits: {dict(pipeline.exits)}"
        )


async def stalled_and_cut(pipeline: Pipeline, proxy: TcpProxy, traffic: Traffic) -> None:
    async with load(pipeline, traffic):
        for name in ("ingest-1", "agents-1", "decider-1"):
            pipeline.start(name, TOKENFUSE_BOOTSTRAP_SERVERS=proxy.address)
        await asyncio.to_thread(pipeline.wait_ready, "ingest-1", "agents-1")
        for name in ("ingest-2", "agents-2"):
            pipeline.start(name)
        await asyncio.to_thread(pipeline.wait_ready, "ingest-2", "agents-2")

        for ways in ([proxy.to_broker, proxy.from_broker], [proxy.from_broker]):
            for way in ways:
                way.open.clear()
            print(f"{len(ways)} of 2 ways stalled after {len(traffic.events)} calls", flush=True)
            await moved_to(pipeline, "ingest-2", "agents-2")
            proxy.heal()  # what the stalled ones had on their way arrives now
            await asyncio.to_thread(
                wait_until, lambda: owned(pipeline, "agents-2") < 4, "agents share again", MOVED_SECONDS
            )
        print(f"{CUTS} cuts after {len(traffic.events)} calls", flush=True)
        for _ in range(CUTS):
            proxy.cut()
            await asyncio.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="network-") as name:
        asyncio.run(run(int(sys.argv[1]) if len(sys.argv) > 1 else 4, Path(name)))
