"""`python -m benchmarks.detection --seeds 1,2 --out DIR`: simulates, replays, judges and prints the table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from benchmarks.detection.company import HELD_OUT_SEEDS
from benchmarks.detection.simulate import CALLS, simulate

OUT: Final = Path("build/detection")


def main(arguments: list[str]) -> int:
    """The command line."""
    options = _parser().parse_args(arguments)
    if any(seed >= HELD_OUT_SEEDS for seed in options.seeds) and not options.final:
        print(f"Seeds from {HELD_OUT_SEEDS} on are for the last report; say --final if this is it.")
        return 2
    for seed in options.seeds:
        directory = options.out / f"seed-{seed}"
        if not (directory / "labels.json").exists():
            simulate(seed, directory, options.events)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("--seeds", type=_numbers, default=[1, 2], help="e.g. 1,2,3")
    parser.add_argument("--events", type=int, default=CALLS, help="calls in 28 days, about")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--final", action="store_true", help="allow the seeds nobody has looked at")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
