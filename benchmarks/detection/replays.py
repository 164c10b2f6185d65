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


def replay(seed_directory: Path, name: str, rules: Path, out: Path) -> list[Raised]:
    """Alerts of one replay; one that is complete already is read and not run again."""
    if not (out / "summary.json").exists():
        _run([str(seed_directory / file) for file in INPUTS[name]], rules, out)
    return alerts.read(out / "alerts.jsonl")


def _run(files: list[str], rules: Path, out: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tokenfuse.cli.main",
        "replay",
        *files,
        "--rules",
        str(rules),
        "--out",
        str(out),
    ]
    started = time.monotonic()
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReplayError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{out}: {time.monotonic() - started:.0f} s, {cpu_s:.0f} s of CPU", file=sys.stderr)
