"""One `tokenfuse run --role ingest` as an operator starts it: its log, its metrics, and what it wrote."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from tests.support.blocks import sums_of
from tests.support.processes import wait_until
from tests.support.topic_reader import read_topic

from tokenfuse.contracts.axes import GLOBAL
from tokenfuse.contracts.block import DeltaBlock, decode_block
from tokenfuse.contracts.measures import MEASURES
from tokenfuse.contracts.topics import DELTAS, EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBIBYTE = 1024 * 1024


@contextmanager
def ingest(broker: Any, prefix: str, directory: Path, **settings: Any) -> Iterator[Ingest]:
    """One `tokenfuse run --role ingest` as an operator would start it."""
    running = Ingest(broker.bootstrap_servers, prefix, directory, settings)
    try:
        running.command("topics", "create")
        running.start()
        yield running
    finally:
        running.stop()


class Ingest:
    """The process, its log and its metrics."""

    def __init__(
        self, bootstrap_servers: str, prefix: str, directory: Path, settings: dict[str, Any]
    ) -> None:
        self.bootstrap_servers, self.prefix, self._directory = bootstrap_servers, prefix, directory
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENFUSE_")}
        self._environment = kept | {
            "TOKENFUSE_BOOTSTRAP_SERVERS": bootstrap_servers, "TOKENFUSE_TOPIC_PREFIX": prefix,
            "TOKENFUSE_STATE_DIR": str(directory / "state"), "TOKENFUSE_SOURCE_PARTITIONS": "1",
            "TOKENFUSE_DELTAS_PARTITIONS": "2", "TOKENFUSE_SLICE_MS": "50", "TOKENFUSE_INSTANCE_ID": prefix,
        }  # fmt: skip
        self._environment |= {f"TOKENFUSE_{name.upper()}": str(value) for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> None:
        subprocess.run(
            self._command(*arguments), env=self._environment, check=True, capture_output=True, timeout=60
        )

    def start(self) -> None:
        with (self._directory / "ingest.log").open("ab") as log:
            command = self._command("run", "--role", "ingest")
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        wait_until(lambda: self._get("readyz") == "ok\n", "ingest is ready", 60)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    @property
    def rss_peak_bytes(self) -> int:
        """The most memory that the process had."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self._directory / "ingest.log").read_text().splitlines()]

    def metric(self, name: str) -> float:
        """One sample by its name with labels; 0 where there is none yet."""
        lines = [line.rpartition(" ") for line in self._get("metrics").splitlines()]
        return sum(float(value) for sample, _, value in lines if sample == name)

    def _get(self, path: str) -> str:
        try:
            where = json.loads((self._directory / "state" / f"{self.prefix}ingest.json").read_text())
            with urllib.request.urlopen(f"http://127.0.0.1:{where['port']}/{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except (OSError, ValueError):
            return ""

    @staticmethod
    def _command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "tokenfuse.cli.main", *arguments]


def publish(running: Ingest, values: list[bytes | None], **options: Any) -> None:
    asyncio.run(_publish(running, values, options))


async def _publish(running: Ingest, values: list[bytes | None], options: dict[str, Any]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=running.bootstrap_servers, max_request_size=64 * MEBIBYTE, **options
    )
    async with producer:
        for value in values:
            await producer.send_and_wait(running.prefix + EVENTS, value, key=b"acme", partition=0)


def read(running: Ingest, topic: str) -> list[Any]:
    records = asyncio.run(read_topic(running.bootstrap_servers, running.prefix + topic))
    return [record for partition in records.values() for record in partition]


def global_totals(running: Ingest) -> dict[str, int]:
    """Sums over everything that was counted."""
    values = [record.value for record in read(running, DELTAS)]
    blocks = [value for value in values if isinstance(decode_block(value), DeltaBlock)]
    rows = [sums for (axis, _, _), sums in sums_of(blocks).items() if axis == GLOBAL]
    return {name: sum(row[place] for row in rows) for place, name in enumerate(MEASURES)}
