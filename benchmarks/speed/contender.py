"""Runs one contender in a process of its own on the measured core, and checks its sums before its time counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.speed.stage import CONTENDER_CORE, pinned
from benchmarks.speed.truth import Totals, differences, read_totals
from msgspec import Struct

ROOT = Path(__file__).resolve().parents[2]
COMPILED = ROOT / ".cache" / "pycache"
"""Bytecode of every process that is measured, whoever started the harness with PYTHONDONTWRITEBYTECODE: pip and the
container image install it, and without it a start is the compilation of 1,500 modules."""


class ContenderError(RuntimeError):
    """A contender failed, or its sums were wrong: its time means nothing."""


class Run(Struct, frozen=True):
    """What one run of a contender took.

    Attributes:
        seconds: from the first record to the last result.
        cpu_seconds: of its process in that time.
        whole_seconds: from the start of the process to the last result, so with imports and joining a group.
        peak_mb: largest resident memory.
    """

    events: int
    seconds: float
    cpu_seconds: float
    whole_seconds: float
    peak_mb: float

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time per event."""
        return 1e6 * self.cpu_seconds / self.events


def environment() -> dict[str, str]:
    """For processes of ours: they find `benchmarks`, `tests` and `tokenfuse` wherever they run, and are compiled."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**ours, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": str(COMPILED)}


def start(module: str, arguments: dict[str, Any], core: int = CONTENDER_CORE) -> subprocess.Popen[str]:
    """A module of `benchmarks.speed.contenders` as a process; it prints one line of JSON at its end."""
    command = [sys.executable, "-m", f"benchmarks.speed.contenders.{module}", json.dumps(arguments)]
    return subprocess.Popen(
        pinned(command, core),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], module: str, timeout_seconds: float) -> dict[str, Any]:
    """The line that it printed.

    Raises:
        ContenderError: it failed, with the end of what it said.
    """
    try:
        out, err = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise ContenderError(f"{module}: not done in {timeout_seconds:g} s: {err[-2000:]}") from None
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if process.returncode or not lines:
        raise ContenderError(f"{module}: exit code {process.returncode}: {err[-3000:]}")
    return json.loads(lines[-1])


def measure(
    module: str, arguments: dict[str, Any], expected: Totals | None, timeout_seconds: float = 300.0
) -> Run:
    """One run.

    Raises:
        ContenderError: it failed, or its sums are not `expected`.
    """
    with tempfile.NamedTemporaryFile(suffix=".totals") as file:
        started = time.time()
        process = start(module, {**arguments, "totals": file.name if expected is not None else None})
        line = finish(process, module, timeout_seconds)
        if expected is not None and (wrong := differences(read_totals(Path(file.name)), expected)):
            raise ContenderError(f"{module}: {len(wrong)} of {len(expected)} sums are wrong, e.g. {wrong[0]}")
    return Run(line["events"], line["seconds"], line["cpu_seconds"], line["ended"] - started, line["peak_mb"])
