"""Makes the extract of the traces that is packaged with the demo: the same files and columns, a fraction of the rows.

python benchmarks/make_demo_data.py --traces ../shared/traces
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tokenfuse.demo.arrivals import DAY_S
from tokenfuse.demo.company import FEATURES
from tokenfuse.demo.traces import packaged

WEEK_S: Final = 7 * DAY_S
"""A week is repeated to make two: weekdays stay weekdays."""

CLIENTS: Final = {(f.kind, f.client) for f in FEATURES} | {("multimodal mm-image", "10")}
AGENT_RUNS_MAX: Final = 14
AGENT_REQUESTS: Final = range(12, 60)
"""Runs of ordinary length, so that a dozen of them are small."""

EXCHANGES: Final = 300

Row = dict[str, str]


def main(arguments: list[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--traces", type=Path, required=True)
    options = parser.parse_args(arguments)
    out = packaged()
    out.mkdir(exist_ok=True)
    shutil.copyfile(options.traces / "SOURCES.md", out / "SOURCES.md")
    (out / "SOURCES.md").chmod(0o644)
    for name, choose in CHOICES.items():
        copy(options.traces / name, out / name, choose)
    print(f"{sum(file.stat().st_size for file in out.iterdir()) / 1000:.0f} kB in {out}")


def copy(source: Path, target: Path, choose: Callable[[Iterator[Row]], Iterator[Row]]) -> None:
    """Copy the chosen rows."""
    with (
        source.open(newline="", encoding="utf-8") as rows,
        target.open("w", newline="", encoding="utf-8") as out,
    ):
        reader = csv.DictReader(rows)
        writer = csv.DictWriter(out, reader.fieldnames or (), lineterminator="\n")
        writer.writeheader()
        writer.writerows(choose(reader))


def of_clients(rows: Iterator[Row]) -> Iterator[Row]:
    """One week of the clients that the demo's features follow, and of one more, with images."""
    for row in rows:
        if (f"{row['category']} {row['model']}", row["client"]) in CLIENTS and float(row["t_s"]) < WEEK_S:
            yield row


def of_agents(rows: Iterator[Row]) -> Iterator[Row]:
    """The first whole runs of ordinary length, one with sub-agents among them."""
    runs: dict[str, list[Row]] = {}
    for row in rows:
        runs.setdefault(row["trace"], []).append(row)
    usual = [run for run in runs.values() if len(run) in AGENT_REQUESTS and all(row["model"] for row in run)]
    branched = [run for run in usual if any(row["sub"] != "0" for row in run)]
    for run in [*branched[:2], *(run for run in usual if run not in branched[:2])][:AGENT_RUNS_MAX]:
        yield from run


def first(rows: Iterator[Row]) -> Iterator[Row]:
    """The first rows."""
    for _, row in zip(range(EXCHANGES), rows, strict=False):
        yield row


CHOICES: Final = {
    "servegen_clients_10min.csv": of_clients,
    "servegen_tokens_windows.csv": of_clients,
    "cc_agent_requests.csv": of_agents,
    "mooncake_synthetic.csv": first,
    "azure2023_code.csv": first,
}

if __name__ == "__main__":
    main(sys.argv[1:])
