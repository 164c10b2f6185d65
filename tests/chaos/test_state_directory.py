"""The local state directory full, corrupted and lost: scratch only, so nothing of it is in any total."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.support.pipeline import Pipeline
from tests.support.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WORKERS = ("ingest-1", "agents-1")


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """A file system of 64 kB at this directory."""
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"may not mount a small file system: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def fill(directory: Path) -> None:
    """Write until there is no space left."""
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        (directory / "filler").write_bytes(bytes(1 << 20))


def corrupt(directory: Path) -> None:
    """Other bytes in every file."""
    for path in directory.rglob("*"):
        if path.is_file():
            path.write_bytes(b"\xff\x00garbage")


async def test_a_full_corrupted_or_lost_state_directory_is_said_or_changes_nothing(
    kafka_broker: KafkaCluster, topic_prefix: str, tmp_path: Path
) -> None:
    traffic = Traffic(seed=6)
    disks = [tmp_path / name for name in WORKERS]
    pipeline = Pipeline(tmp_path, kafka_broker.bootstrap_servers, topic_prefix)
    with small_disk(disks[0]), small_disk(disks[1]), pipeline:
        await pipeline.create_topics()
        for name in WORKERS:
            pipeline.start(name)
        await asyncio.to_thread(pipeline.wait_ready, *WORKERS)
        for disk in disks:
            fill(disk)
        await pipeline.publish(traffic.more(200))
        await pipeline.check(traffic.truth)  # what runs needs no disk
        for name in WORKERS:
            assert pipeline.stop(name) == 0

        for name, disk in zip(WORKERS, disks, strict=True):
            fill(disk)
            pipeline.start(name)
            assert await asyncio.to_thread(pipeline.wait, name) == 2
            assert "cannot be written: No space left on device" in pipeline.log(name)
            (disk / "filler").unlink()
            corrupt(disk)
            pipeline.start(name)
        await pipeline.publish(traffic.more(200))
        await pipeline.check(traffic.truth)

        for name, disk in zip(WORKERS, disks, strict=True):
            assert pipeline.stop(name) == 0
            for path in disk.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            pipeline.start(name)
        await pipeline.publish(traffic.more(200))
        await pipeline.check(traffic.truth)
        assert not pipeline.exits
