"""`python -m benchmarks.speed.profile agents`: where the time of a role's core goes, in one process and without Kafka.

It prints microseconds of processor time an event by step, then, from a second run under cProfile, the functions that take most.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.speed.events import Feed, messages

from tokenfuse.contracts.block import FORMAT, Control, decode_block
from tokenfuse.contracts.rollup import encode_rollup
from tokenfuse.contracts.ruleset import encode_ruleset
from tokenfuse.decide.agent import AgentConfig, AgentCore
from tokenfuse.ingest.record import Record
from tokenfuse.rules.loader import load
from tokenfuse.runtime.ingest.recipe import Recipe
from tokenfuse.runtime.settings import Settings

SOURCES: Final = 4
START_MS: Final = 1_790_000_000_000
RULES: Final = Path(__file__).parents[2] / "rules"

Blocks = list[list[bytes]]
T = TypeVar("T")


class Steps:
    """Processor seconds by step."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self.seconds: Counter[str] = Counter()

    def __call__(self, name: str, work: Callable[[], T]) -> T:
        """Do a piece of work as part of a step."""
        started = time.process_time()
        done = work()
        self.seconds[name] += time.process_time() - started
        return done


def slices(events: int, size: int) -> Iterator[tuple[int, list[Record]]]:
    """The feed of the benchmark as source slices, one source partition after the other."""
    logs: list[list[Record]] = [[] for _ in range(SOURCES)]
    for key, value in messages(Feed(events, start_ms=START_MS)):
        log = logs[zlib.crc32(key) % SOURCES]
        log.append(Record(len(log), START_MS + 60_000, key, value, ()))
    for first in range(0, max(map(len, logs)), size):
        yield from ((source, part) for source, log in enumerate(logs) if (part := log[first : first + size]))


def ingest(parts: list[tuple[int, list[Record]]], settings: Settings, steps: Steps) -> Blocks:
    """Decoded, priced, de-duplicated, summed, written as blocks."""
    recipe = Recipe(settings)
    cutters = [recipe.cutter(source, 0) for source in range(SOURCES)]
    blocks = []
    for source, part in parts:
        cutter = cutters[source]
        draft = steps("decode, validate, price", lambda cutter=cutter, part=part: cutter.draft(part))
        result = steps(
            "de-duplicate, sum, write blocks", lambda cutter=cutter, draft=draft: cutter.cut(draft, {})
        )
        cutter.advance(result)
        blocks.append(list(result.blocks))
    return blocks


def agents(blocks: Blocks, settings: Settings, steps: Steps) -> None:
    """Applied under the shipped rules; then one checkpoint of everything."""
    cores = [AgentCore(AgentConfig(), partition) for partition in range(settings.deltas_partitions)]
    rules = Control(FORMAT, "rules", 1, encode_ruleset(load(RULES)))
    for core in cores:
        core.apply(0, rules)
    for offset, row in enumerate(blocks, 1):
        for core, data in zip(cores, row, strict=True):
            block = steps("decode blocks", lambda data=data: decode_block(data))
            out = steps(
                "sum and judge", lambda core=core, block=block, offset=offset: core.apply(offset, block)
            )
            steps("write rollups", lambda out=out: [encode_rollup(rollup) for rollup in out.rollups])
    steps("one checkpoint", lambda: [core.snapshot(row) for core in cores for row in core.dirty_rows()])


def main(arguments: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.profile", description=__doc__)
    parser.add_argument("role", choices=["ingest", "agents"])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--slice", type=int, default=5_000, help="events of a slice")
    parser.add_argument("--top", type=int, default=15, help="functions")
    given = parser.parse_args(arguments)
    settings, parts = Settings(), list(slices(given.events, given.slice))
    blocks = ingest(parts, settings, Steps()) if given.role == "agents" else []

    def run(steps: Steps) -> None:
        if given.role == "agents":
            agents(blocks, settings, steps)
        else:
            ingest(parts, settings, steps)

    steps = Steps()
    run(steps)
    for name, seconds in steps.seconds.items():
        print(f"{name:32} {1e6 * seconds / given.events:6.2f} us an event")
    profile = cProfile.Profile()
    profile.runcall(run, Steps())
    pstats.Stats(profile).sort_stats("tottime").print_stats(given.top)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
