"""Runs `tokenfuse replay` on the files of a seed: the same command that users type."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.detection import alerts
from benchmarks.detection.alerts import Raised

INPUTS: Final = {
    "run": ("learned.jsonl.zst", "run.jsonl.zst"),
    "counterfactual": ("learned.jsonl.zst", "counterfactual.jsonl.zst"),
    "null": ("null.jsonl.zst",),
}


class ReplayError(Exception):
    """`tokenfuse replay` failed; the message is what it printed."""


def replay(seed_directory: Path, name: str, rules: Path, method: str) -> list[Raised]:
    """Alerts of one replay; one that is complete already is read and not run again."""
    out = seed_directory / f"{method}-{name}"
    if not _is_complete(out):
        files = [str(seed_directory / file) for file in INPUTS[name]]
        _run(out, "tokenfuse.cli.main", "replay", *files, "--rules", str(rules), "--out", str(out))
    return alerts.read(out / "alerts.jsonl")


def begin_both(seed_directory: Path, rules: Path, method: str) -> None:
    """Run the run and the counterfactual, unless one of them is complete: their learned weeks are read once (`forked`)."""
    if not any(_is_complete(seed_directory / f"{method}-{name}") for name in ("run", "counterfactual")):
        _run(seed_directory, "benchmarks.detection.forked", str(seed_directory), str(rules), method)


def _is_complete(out: Path) -> bool:
    return (out / "summary.json").exists()


def _run(what: Path, module: str, *arguments: str) -> None:
    command = [sys.executable, "-m", module, *arguments]
    started = time.monotonic()
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReplayError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{what}: {time.monotonic() - started:.0f} s, {cpu_s:.0f} s of CPU", file=sys.stderr)
