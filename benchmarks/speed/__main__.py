"""`python -m benchmarks.speed`: measure rows of the speed table, and print and plot what was measured."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.speed import rows, scaling
from benchmarks.speed.report import count, fill, table, whole
from benchmarks.speed.results import Results
from benchmarks.speed.row import Options, Row
from benchmarks.speed.stage import machine
from tests.support.kafka_cluster import KAFKA_VERSION

from tokenfuse.runtime.settings import Settings

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
RESULTS: Final = Path(__file__).resolve().parents[1] / "results"


def main(arguments: list[str]) -> int:
    """The command line; 1 where a row could not be measured."""
    options = parser().parse_args(arguments)
    # A time limit ends us with SIGTERM: brokers and roles must go too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = Results(options.out)
    if options.report:
        report(results)
        return 0
    wanted = options.rows.split(",") if options.rows else [row.name for row in rows.ROWS]
    if options.soak:
        wanted = [rows.SOAK.name]
    if unknown := set(wanted) - {row.name for row in rows.ALL}:
        print(
            f"no row {', '.join(sorted(unknown))}: there are {', '.join(row.name for row in rows.ALL)}",
            file=sys.stderr,
        )
        return 2
    chosen = Options(options.events, options.rounds, options.deltas_partitions, options.out, options.scale)
    deadline = time.monotonic() + 60 * options.minutes
    failed = [
        not run(row, chosen, results, deadline, fresh=options.fresh) for row in rows.ALL if row.name in wanted
    ]
    return int(any(failed))


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument(
        "--rows", help=f"names with commas between: {', '.join(row.name for row in rows.ROWS)}"
    )
    parser.add_argument(
        "--soak",
        action="store_true",
        help="one batch of ten minutes of the soak, which is no other run's part",
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="that each row shall have; those measured before count"
    )
    parser.add_argument("--fresh", action="store_true", help="forget the rows' earlier rounds first")
    parser.add_argument(
        "--minutes", type=float, default=1e6, help="begin no round after this; the next call goes on"
    )
    parser.add_argument("--events", type=int, default=500_000, help="messages of the feed")
    parser.add_argument(
        "--deltas-partitions", type=int, default=Settings.model_fields["deltas_partitions"].default,
        help="of the measured installations (default: that of the settings)",
    )  # fmt: skip
    parser.add_argument("--scale", type=float, default=1.0, help="of fixed sizes; below 1 to try a row out")
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="where the results are (default: %(default)s)"
    )
    parser.add_argument(
        "--report", action="store_true", help="measure nothing: write tables and plot into docs/"
    )
    return parser


def run(row: Row, options: Options, results: Results, deadline: float, *, fresh: bool) -> bool:
    """Measure a row until it has its rounds or time is over, and print it. False: it could not be measured."""
    if fresh:
        results.forget(row.name)
    wanted = min(options.rounds, row.rounds_max)
    print(f"{row.name}: {row.title}", flush=True)
    measured = row.measure(options)
    try:
        while (have := len(results.rounds(row.name))) < wanted and time.monotonic() < deadline:
            print(f" round {have + 1} of {wanted}", flush=True)
            results.append(row.name, next(measured))
    except (RuntimeError, OSError, AssertionError) as error:
        print(f"  not measured: {error}", file=sys.stderr)
        return False
    finally:
        getattr(measured, "close", lambda: None)()
        if rounds := results.rounds(row.name):
            print(f"\n{row.title}, {count(len(rounds))}\n{table(row.lines(rounds))}\n", flush=True)
    return True


def machine_text(when: tuple[str, str] | None) -> str:
    """Where and when, in a sentence; the report must be written where it was measured."""
    if when is None:
        return "Not measured yet."
    of = machine()
    return (
        f"Measured from {when[0]} to {when[1]} on {of['cores']} cores of {of['processor']}, Python {of['python']}, "
        f"Apache Kafka {KAFKA_VERSION}, {of['java']}."
    )


def report(results: Results) -> None:
    """Everything measured, on the terminal and in docs/."""
    from benchmarks.speed.plot import plot

    text = whole(rows.ALL, results)
    when = results.first_and_last()
    print(text)
    fill(DOCS / "benchmarks.md", "results", text)
    fill(DOCS / "benchmarks.md", "machine", machine_text(when))
    for name, make in (("costs", scaling.costs), ("scopes", scaling.scopes), ("million", scaling.million)):
        fill(DOCS / "scaling.md", name, make(results))
    plot(results, DOCS / "img" / "benchmarks.png")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
