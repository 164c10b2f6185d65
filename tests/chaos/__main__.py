"""`python -m tests.chaos`: see README.md beside this file."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import signal
import tempfile
from pathlib import Path

from tests.chaos.breakage import BREAKAGES
from tests.chaos.faults import Numbers
from tests.chaos.results import print_summary
from tests.chaos.run import Options, Run, as_line


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="The whole pipeline under faults."
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of the first batch; each further one takes the next"
    )
    parser.add_argument("--batches", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=4.0, help="of traffic and faults in a batch")
    for name, default in Numbers._field_defaults.items():
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=int, default=default, help="in a batch")
    parser.add_argument("--workers", type=int, default=2, choices=(1, 2, 3), help="of ingest and of agents")
    parser.add_argument("--rate", type=float, default=150.0, help="messages a second")
    parser.add_argument(
        "--break", dest="broken", choices=sorted(BREAKAGES), help="a broken build: must be found"
    )
    parser.add_argument(
        "--results", type=Path, help="one line of JSON a batch is appended; seeds in it are not run again"
    )
    parser.add_argument(
        "--summary", type=Path, metavar="FILE", help="add up the batches of a results file, run nothing"
    )
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if options.summary:
        return print_summary(options.summary)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # of a broker that is killed it says a lot
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no worker outlives the run
    numbers = Numbers(**{name: getattr(options, name) for name in Numbers._fields})
    failed = 0
    for seed in range(options.seed, options.seed + options.batches):
        if (
            options.results
            and options.results.exists()
            and f'{{"seed": {seed},' in options.results.read_text()
        ):
            print(f"seed {seed}: in {options.results} already")
            continue
        directory = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-")) / "run"
        chosen = Options(seed, options.minutes, numbers, options.workers, options.rate, options.broken)
        result = asyncio.run(Run(chosen, directory).run())
        if options.results:
            with options.results.open("a") as file:
                file.write(as_line(result) + "\n")
        failed += result.wrong
        if result.wrong:
            print(f"seed {seed}: WRONG; logs and topics are in {directory}")
        else:
            print(f"seed {seed}: nothing wrong in {result.wall_seconds:g} s")
            shutil.rmtree(directory.parent)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
