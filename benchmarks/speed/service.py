"""TokenFuse's roles as they run in production, `tokenfuse run --role ...`, each a process of its own, watched from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Self

from benchmarks.speed.contender import ROOT, environment
from benchmarks.speed.stage import pinned

from tokenfuse.cli.common import PARENT
from tokenfuse.runtime.settings import Settings

READY_SECONDS = 120.0
STOP_SECONDS = 30.0
TICKS = os.sysconf("SC_CLK_TCK")
RULES = ROOT / "rules"


class ServiceError(RuntimeError):
    """A role ended or did not get where it should, with the end of its log."""


class Role:
    """One process.

    Attributes:
        name: `ingest`, `agents`, ... instance: of the static membership; a second worker has another.
    """

    def __init__(
        self, name: str, settings: Settings, *, core: int | None, instance: str = "a", rules: Path = RULES
    ) -> None:
        """Start it. `core`: None leaves it all cores."""
        self.name = name
        self._directory = settings.state_dir / instance
        self._directory.mkdir(parents=True, exist_ok=True)
        self._file = self._directory / f"{settings.topic_prefix}{name}.json"
        self._file.unlink(missing_ok=True)
        self.log = self._directory / f"{name}.log"
        given = settings.model_dump(mode="json", exclude_defaults=True) | {
            "state_dir": str(self._directory), "instance_id": instance, "rules_dir": str(rules),
        }  # fmt: skip
        variables = {f"TOKENFUSE_{name.upper()}": str(value) for name, value in given.items()}
        variables[PARENT] = str(os.getpid())  # it does not outlive the harness, however that ends
        command = [sys.executable, "-m", "tokenfuse.cli.main", "run", "--role", name]
        on = pinned(command, -1 if core is None else core)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                on, cwd=ROOT, env=environment() | variables, stdout=log, stderr=log
            )
        self.pid = self._process.pid

    def cpu_seconds(self) -> float:
        """User and system time so far, of the whole process."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_mb(self) -> float:
        """Memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def metrics(self) -> dict[str, float]:
        """Sum of each metric over its labels. Asking costs the process about a millisecond."""
        found: dict[str, float] = {}
        for line in self._get("metrics").splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0]
                found[name] = found.get(name, 0.0) + float(value)
        return found

    def ready(self) -> bool:
        """Whether it says so."""
        if self._process.poll() is not None:
            raise ServiceError(f"{self.name} ended: {self.log.read_text()[-2000:]}")
        try:
            return bool(self._get("readyz"))
        except (OSError, ValueError):
            return False

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """In good order; what does not stop in time is killed."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _get(self, path: str) -> str:
        where = json.loads(self._file.read_text())
        with urllib.request.urlopen(f"http://{where['host']}:{where['port']}/{path}", timeout=60) as answer:
            return str(answer.read().decode())


def until(
    condition: Callable[[], bool],
    what: str,
    timeout_seconds: float = READY_SECONDS,
    poll_seconds: float = 0.05,
) -> float:
    """Poll a condition; returns the seconds that it took.

    Raises:
        ServiceError: not in time.
    """
    started = time.monotonic()
    while not condition():
        if time.monotonic() > started + timeout_seconds:
            raise ServiceError(f"not within {timeout_seconds:g} s: {what}")
        time.sleep(poll_seconds)
    return time.monotonic() - started


def records_out(*ingests: Role) -> int:
    """Source records whose slices are acknowledged."""
    return int(sum(ingest.metrics().get("tokenfuse_events_total", 0) for ingest in ingests))


def blocks_read(agents: Role) -> int:
    """Messages of the deltas topic that the agents took."""
    return int(agents.metrics().get("tokenfuse_blocks_total", 0))
