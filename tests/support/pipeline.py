"""Ingest, agents and decider as processes of their own, several of each, and of either release: for faults and upgrades."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.ingest import publish
from tests.support.processes import wait_until
from tests.support.topic_reader import read_rollups, totals

from tokenfuse.contracts.topics import ROLLUPS
from tokenfuse.runtime import topics
from tokenfuse.runtime.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.topic_reader import Totals

THIS_RELEASE = "tokenfuse.cli.main"
NEXT_RELEASE = "tests.chaos.next_release"
READY_SECONDS = 150.0
SETTLED_SECONDS = 150.0
RESTART_SECONDS = 0.3


class Pipeline:
    """Workers by name, e.g. `agents-1`; whoever dies by itself is started again by `keep_running`, and counted.

    Attributes:
        settings: of all workers, but for name and state directory.
        exits: (worker, exit code) of those that ended by themselves.
    """

    def __init__(self, directory: Path, bootstrap_servers: str, topic_prefix: str, **changes: Any) -> None:
        """Nothing runs yet; `changes` are settings."""
        self.directory = directory
        self.settings = Settings(
            **{
                "bootstrap_servers": bootstrap_servers, "topic_prefix": topic_prefix, "source_partitions": 4,
                "deltas_partitions": 4, "rollup_seconds": 1, "checkpoint_seconds": 1.0, "slice_ms": 100,
                "state_dir": directory, "rules_dir": directory / "rules",
            } | changes
        )  # fmt: skip
        self.settings.rules_dir.mkdir(parents=True, exist_ok=True)
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, tuple[str, Mapping[str, str]]] = {}
        self.exits: Counter[tuple[str, int]] = Counter()

    async def create_topics(self) -> None:
        """As `topics create` makes them."""
        made = await topics.create(self.settings)
        assert not [each for each in made if each.made is topics.Made.FAILED], made

    def start(self, name: str, module: str = THIS_RELEASE, **environment: str) -> None:
        """Start a worker; its role is its name up to the dash."""
        role = name.partition("-")[0]
        self._started[name] = (module, environment)
        own = {
            "TOKENFUSE_INSTANCE_ID": name,
            "TOKENFUSE_STATE_DIR": str(self.directory / name),
            **self._environment(),
            **environment,
        }
        with (self.directory / f"{name}.log").open("ab") as log:
            self._workers[name] = subprocess.Popen(
                [sys.executable, "-m", module, "run", "--role", role],
                env={**os.environ, **own}, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        given = self.settings.model_dump(exclude_unset=True, exclude={"state_dir"})
        return {f"TOKENFUSE_{name.upper()}": str(value) for name, value in given.items()}

    def log(self, name: str) -> str:
        """What a worker has said, over all its lives."""
        return (self.directory / f"{name}.log").read_text()

    def ready(self, name: str) -> bool:
        """Whether the worker says so since it was last started."""
        file = self.directory / name / f"{self.settings.topic_prefix}{name.partition('-')[0]}.json"
        try:
            where = json.loads(file.read_text())
        except (OSError, ValueError):
            return False
        if where["pid"] != self.pid(name):
            return False
        try:
            with urllib.request.urlopen(f"http://{where['host']}:{where['port']}/readyz", timeout=2):
                return True
        except OSError:
            return False

    def wait_ready(self, *names: str) -> None:
        """Wait until these workers have partitions."""
        for name in names:
            wait_until(lambda name=name: self.ready(name), f"{name} is ready", READY_SECONDS)

    def pid(self, name: str) -> int:
        """Of a worker's process."""
        return self._workers[name].pid

    def signal(self, name: str, number: int) -> None:
        """Send a worker a signal."""
        self._workers[name].send_signal(number)

    def stop(self, name: str) -> int:
        """SIGTERM; the exit code. It is not started again."""
        process = self._workers.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(READY_SECONDS)

    def wait(self, name: str) -> int:
        """The exit code of a worker that ends by itself; it is not started again."""
        return self._workers.pop(name).wait(READY_SECONDS)

    def keep_running(self) -> None:
        """Start again what has died, as an orchestrator does."""
        for name, process in list(self._workers.items()):
            if process.poll() is not None:
                self.exits[name, process.returncode] += 1
                module, environment = self._started[name]
                self.start(name, module, **environment)

    async def publish(self, messages: list[bytes]) -> None:
        """Messages to the source topic, keyed by tenant."""
        await publish(self.settings, messages)

    async def totals(self) -> dict[str, Totals]:
        """What an outside reader finds now, by granularity."""
        servers = self.settings.bootstrap_servers or ""
        rollups = await read_rollups(servers, self.settings.topic(ROLLUPS))
        return {granularity: totals(rollups, granularity) for granularity in ("total", "1m", "1h", "1d")}

    async def check(self, truth: Totals, seconds: float = SETTLED_SECONDS) -> None:
        """Every granularity adds up to the truth in every scope, in time; the dead are started again meanwhile."""
        deadline = time.monotonic() + seconds
        while True:
            self.keep_running()
            found = await self.totals()
            wrong = {name: differences(got, truth) for name, got in found.items()}
            if not any(wrong.values()):
                return
            assert time.monotonic() < deadline, f"{_examples(wrong)}; exits: {dict(self.exits)}"
            await asyncio.sleep(RESTART_SECONDS)

    def kill_all(self) -> None:
        """SIGKILL to whatever runs."""
        for process in self._workers.values():
            process.kill()
            process.wait()
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()


def differences(got: Totals, truth: Totals) -> dict[tuple[str, str], tuple[Any, Any]]:
    """Scopes that differ: (truth, got)."""
    pairs = {scope: (truth.get(scope), got.get(scope)) for scope in truth.keys() | got.keys()}
    return {scope: pair for scope, pair in pairs.items() if pair[0] != pair[1]}


def _examples(wrong: dict[str, dict[tuple[str, str], tuple[Any, Any]]]) -> str:
    parts = [
        f"{name}: {len(scopes)} wrong, e.g. {next(iter(scopes.items()))}"
        for name, scopes in wrong.items()
        if scopes
    ]
    return "; ".join(parts)
