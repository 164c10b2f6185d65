"""A worker process with a toy core for the tests of the state log: exact sums, rows that expire, outputs by offset.

Run as a script: `statelog_worker.py DIRECTORY NAME`, configuration in DIRECTORY/config.json. It dumps what it owns to
DIRECTORY/NAME.json. Where DIRECTORY/<pid>.stop-<place> exists it stops itself (SIGSTOP) at that place of a checkpoint.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenfuse.runtime.settings import Settings
from tokenfuse.runtime.statelog.checkpoint import Checkpointer
from tokenfuse.runtime.statelog.core import Output
from tokenfuse.runtime.statelog.owner import Owner, StateLogSpec
from tokenfuse.runtime.statelog.run import prepare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BUCKETS = 32
PANES_KEPT = 6


class SumsCore:
    """Sums per scope in rows `scope/<bucket>`, sums per pane in rows `pane/<n>` of which the oldest expire.

    A message is JSON: `{"pane": n, "amounts": {scope: amount}}`.
    """

    def __init__(self, partition: int, output_topic: str) -> None:
        self.partition = partition
        self.output_topic = output_topic
        self.rows: dict[str, dict[str, int]] = {}
        self.expired = 0
        self.applied = 0
        self.chain = b""
        self._dirty: set[str] = set()
        self._dropped: set[str] = set()

    def apply(self, offset: int, value: bytes) -> Sequence[Output]:
        message = json.loads(value)
        for scope, amount in message["amounts"].items():
            bucket = int.from_bytes(hashlib.blake2b(scope.encode(), digest_size=2).digest(), "big") % BUCKETS
            self._add(f"scope/{bucket}", scope, amount)
            self._add(f"pane/{message['pane']}", "sum", amount)
        self._expire()
        self.applied += 1
        # A chain over all messages: any message applied twice, left out or swapped changes every later output.
        self.chain = hashlib.blake2b(self.chain + b"%d" % offset + value, digest_size=8).digest()
        said = {
            "partition": self.partition,
            "offset": offset,
            "applied": self.applied,
            "chain": self.chain.hex(),
        }
        return [Output(self.output_topic, b"%d" % self.partition, json.dumps(said).encode(), 0)]

    def _add(self, row: str, name: str, amount: int) -> None:
        sums = self.rows.setdefault(row, {})
        sums[name] = sums.get(name, 0) + amount
        self._dirty.add(row)
        self._dropped.discard(row)

    def _expire(self) -> None:
        panes = sorted(int(row[5:]) for row in self.rows if row.startswith("pane/"))
        for pane in panes[:-PANES_KEPT]:
            row = f"pane/{pane}"
            self.expired += self.rows.pop(row)["sum"]
            self._dirty.discard(row)
            self._dropped.add(row)

    def dirty_rows(self) -> Sequence[str]:
        return sorted(self._dirty)

    def dropped_rows(self) -> Sequence[str]:
        dropped, self._dropped = sorted(self._dropped), set()
        return dropped

    def snapshot(self, row: str) -> bytes:
        self._dirty.discard(row)
        return json.dumps(self.rows[row]).encode()

    def head(self) -> bytes:
        return json.dumps(
            {"expired": self.expired, "applied": self.applied, "chain": self.chain.hex()}
        ).encode()

    def state(self) -> dict[str, Any]:
        """What the tests compare: sums per scope, and the whole twice, by the scopes and by the panes."""
        sums: dict[str, int] = defaultdict(int)
        for row, values in self.rows.items():
            for name, amount in values.items():
                sums[name if row.startswith("scope/") else "~panes"] += amount
        sums["~panes"] += self.expired
        return {"sums": dict(sums), "applied": self.applied, "chain": self.chain.hex()}


class SumsFactory:
    def __init__(self, output_topic: str) -> None:
        self.output_topic = output_topic

    def empty(self, partition: int) -> SumsCore:
        return SumsCore(partition, self.output_topic)

    def restore(self, partition: int, head: bytes, rows: Mapping[str, bytes]) -> SumsCore:
        core = SumsCore(partition, self.output_topic)
        said = json.loads(head)
        core.expired, core.applied, core.chain = (
            said["expired"],
            said["applied"],
            bytes.fromhex(said["chain"]),
        )
        core.rows = {row: json.loads(body) for row, body in rows.items()}
        return core


def stop_myself_at(place: str, directory: Path) -> None:
    """SIGSTOP, if the test asked for it: it continues us when another worker has taken over."""
    wish = directory / f"{os.getpid()}.stop-{place}"
    if wish.exists():
        wish.unlink()
        os.kill(os.getpid(), signal.SIGSTOP)


def install_stops(directory: Path) -> None:
    """Become a zombie between the check of the pulse and the writes of a checkpoint: the worst moment."""
    send_rows = Checkpointer._send_rows

    async def stopping(self: Checkpointer, rows: Any) -> None:
        rows = list(rows)
        kind = "tombstones" if rows and rows[0][2] is None else "head" if b"|head" in rows[0][1] else "rows"
        self._pulse.check()
        stop_myself_at(kind, directory)
        self._pulse._last = time.monotonic()  # as if the stop had come after the check
        await send_rows(self, rows)

    def guarded(self: Checkpointer, rows: Any) -> Any:
        rows = list(rows)
        return stopping(self, rows) if rows else send_rows(self, rows)

    Checkpointer._send_rows = guarded  # type: ignore[method-assign]


async def dump(owner: Owner, path: Path) -> None:
    while True:
        owned = {index: p.core.state() for index, p in owner.partitions.items()}  # type: ignore[attr-defined]
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({"pid": os.getpid(), "at": time.time(), "owned": owned}))
        partial.replace(path)
        await asyncio.sleep(0.25)


async def main(directory: Path, name: str) -> None:
    config = json.loads((directory / "config.json").read_text())
    settings = Settings(
        bootstrap_servers=config["bootstrap_servers"],
        instance_id=name,
        state_dir=directory / f"state-{name}",
        checkpoint_seconds=config["checkpoint_seconds"],
    )
    run = config["run"]
    spec = StateLogSpec(
        role="sums",
        group=f"{run}.sums",
        input_topic=f"{run}.input",
        checkpoint_topic=f"{run}.checkpoint",
        partitions=config["partitions"],
        factory=SumsFactory(f"{run}.output"),
    )
    install_stops(directory)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    worker = await prepare(settings, spec, lambda ready: print("READY", ready, flush=True))
    dumping = asyncio.create_task(dump(worker.owner, directory / f"{name}.json"))
    await worker.run(stop)
    dumping.cancel()


if __name__ == "__main__":
    import logging

    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
