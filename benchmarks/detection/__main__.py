"""`python -m benchmarks.detection --seeds 1,2`: simulates, replays, judges, and prints the table.

Every step of a seed is kept in `--out` and not repeated: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from benchmarks.detection import cost, detectors, labels, methods, nab, table
from benchmarks.detection.company import HELD_OUT_SEEDS
from benchmarks.detection.judge import Judgement, judge
from benchmarks.detection.simulate import CALLS, simulate

OUT: Final = Path("build/detection")
PRODUCT: Final = "tokenfuse"


def main(arguments: list[str]) -> int:
    """The command line; `cost` and `nab` are measures of their own."""
    if arguments[:1] == ["cost"]:
        return cost.main(arguments[1:])
    if arguments[:1] == ["nab"]:
        nab.main(arguments[1:])
        return 0
    options = _parser().parse_args(arguments)
    if any(seed >= HELD_OUT_SEEDS for seed in options.seeds) and not options.final:
        print(f"Seeds from {HELD_OUT_SEEDS} on are for the last report; say --final if this is it.")
        return 2
    if not options.report:
        for seed in options.seeds:
            _judge_seed(seed, options)
    _report(options)
    return 0


def _judge_seed(number: int, options: argparse.Namespace) -> None:
    directory = options.out / f"seed-{number}"
    if not (directory / "labels.json").exists():
        simulate(number, directory, options.events)
    if options.only_simulate:
        return
    seed = methods.Seed(directory, labels.read(directory / "labels.json"))
    for method in options.methods:
        result = directory / f"judged-{method}.json"
        if not result.exists():
            result.write_bytes(msgspec.json.encode(_judged(seed, method, options)))


def _judged(seed: methods.Seed, method: str, options: argparse.Namespace) -> Judgement:
    if method in methods.BASELINES:
        raised = methods.baseline(seed, method)
    else:
        rules = detectors.write(options.rules, seed.directory / f"{method}-rules")
        raised = methods.product(seed, method, rules, null=not options.no_null)
    return judge(seed.labels, method, raised["run"], raised["counterfactual"], raised.get("null"))


def _report(options: argparse.Namespace) -> None:
    judgements = list(_results(options))
    if not judgements:
        print("Nothing is judged yet.")
        return
    print(table.table(judgements))
    print()
    print(table.by_kind(judgements))
    if options.verbose:
        for judgement in judgements:
            print(msgspec.json.format(msgspec.json.encode(judgement)).decode())


def _results(options: argparse.Namespace) -> Iterator[Judgement]:
    for method in options.methods:
        for seed in options.seeds:
            result = options.out / f"seed-{seed}" / f"judged-{method}.json"
            if result.exists():
                yield msgspec.json.decode(result.read_bytes(), type=Judgement)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("--seeds", type=_numbers, default=[1, 2], help="e.g. 1,2,3")
    parser.add_argument("--events", type=int, default=CALLS, help="calls in 28 days, about")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument(
        "--rules", type=Path, default=Path("rules"), help="rule files; detectors.py says which of them count"
    )
    parser.add_argument(
        "--methods",
        type=lambda text: text.split(","),
        default=[PRODUCT, *methods.BASELINES],
        help="names of baselines; any other name is the product with --rules",
    )
    parser.add_argument("--no-null", action="store_true", help="leave out the steady run")
    parser.add_argument("--only-simulate", action="store_true", help="write events and labels, judge nothing")
    parser.add_argument("--report", action="store_true", help="print what is judged already")
    parser.add_argument("--verbose", action="store_true", help="every verdict as JSON")
    parser.add_argument("--final", action="store_true", help="allow the seeds nobody has looked at")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
