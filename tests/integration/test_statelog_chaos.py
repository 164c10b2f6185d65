"""Kills and zombies on a real Kafka: every sum is right, live and read back, and nothing is said twice differently.

The same at length, by seed: `python tests/integration/statelog_harness.py BOOTSTRAP_SERVERS SEED SECONDS`.
"""

from __future__ import annotations

import asyncio
import random
import signal
from typing import TYPE_CHECKING

import pytest
from tests.integration.statelog_harness import PARTITIONS, Cluster, chaos

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.kafka_cluster import KafkaCluster


@pytest.fixture
async def cluster(kafka_broker: KafkaCluster, tmp_path: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster(kafka_broker.bootstrap_servers, tmp_path)
    yield cluster
    cluster.kill_all()


async def started(cluster: Cluster, *names: str) -> None:
    await cluster.create_topics()
    for name in names:
        cluster.start(name)
    await cluster.eventually(
        lambda: len(cluster.owned(list(names))) == PARTITIONS, "all partitions are owned"
    )


async def test_random_kills_and_zombies_change_no_sum(cluster: Cluster) -> None:
    figures = await chaos(cluster, seed=7, seconds=12)

    assert figures["wrong_live"] == {}, figures
    assert figures["wrong_fresh"] == {}, figures
    assert (figures["outputs_missing"], figures["outputs_contradicting"]) == (0, 0), figures
    assert sum(figures["faults"].values()) > 0


@pytest.mark.parametrize("place", ["rows", "head"])
async def test_a_zombie_that_wakes_up_inside_its_checkpoint_buries_nothing(
    cluster: Cluster, place: str
) -> None:
    """It stops before its rows or between them and its head; another takes over, works on, checkpoints; it goes on."""
    await started(cluster, "a")
    await cluster.produce(400, random.Random(1), 800)
    (cluster.directory / f"{cluster.workers['a'].pid}.stop-{place}").touch()
    load = asyncio.create_task(cluster.produce(1200, random.Random(2), 400))
    await cluster.eventually(lambda: cluster.stopped("a"), "the worker stopped itself")
    zombie = cluster.workers.pop("a")
    cluster.zombies.append(("a", zombie))
    cluster.start("a")
    await load
    assert await cluster.settled(["a"], 30) == {}

    zombie.send_signal(signal.SIGCONT)
    await cluster.eventually(cluster.zombies_gone, "the zombie ended itself")

    assert await cluster.settled(["a"], 30) == {}
    cluster.kill_all()
    cluster.start("fresh")
    assert await cluster.settled(["fresh"], 40) == {}
    assert {key for key in cluster.exits if key[0] == "zombie a"} <= {("zombie a", 80), ("zombie a", 83)}


async def test_a_graceful_stop_leaves_a_checkpoint_of_everything(cluster: Cluster) -> None:
    await started(cluster, "a")
    await cluster.produce(300, random.Random(3), 1000)
    assert await cluster.settled(["a"], 30) == {}

    cluster.signal("a", signal.SIGTERM)
    assert cluster.workers.pop("a").wait(20) == 0
    cluster.start("a")

    assert await cluster.settled(["a"], 30) == {}
    log = (cluster.directory / "a.log").read_text()
    recovered = log.rindex("positions={")
    sent = ", ".join(f"{partition}: {count}" for partition, count in cluster.sent.items())
    assert log[recovered:].startswith(f"positions={{{sent}}}")
