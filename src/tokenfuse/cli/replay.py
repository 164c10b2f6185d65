"""`tokenfuse replay`: what would have happened. The pure core over files, without a broker; the same bytes every time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenfuse.cli.common import Output, OutputOption, fail, load_settings, print_json

if TYPE_CHECKING:
    from tokenfuse.contracts.ruleset import RuleSet


def register(parent: typer.Typer) -> None:
    """Adds the verb to the command line."""
    parent.command("replay")(replay)


def replay(
    files: Annotated[list[str], typer.Argument(help="Events in any accepted format; `-`, .gz and .zst too.")],
    out: Annotated[Path, typer.Option("--out", help="Directory for totals, alerts, switches, dead letters.")],
    rules: Annotated[
        Path | None, typer.Option("--rules", help="Rule files; default: the settings' rules.")
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Replay events from files and write `totals.jsonl`, `alerts.jsonl`, `killswitch.jsonl`, `deadletter.jsonl`, `summary.json`."""
    from tokenfuse.cli.lines import UnreadableFileError
    from tokenfuse.runtime.replay import Replay

    settings = load_settings(output)
    ruleset = load_rules(rules or settings.rules_dir, output)
    started = time.monotonic()
    try:
        job = Replay(ruleset, out, settings.further_axes)
        summary = job.run(lines_of(files), progress())
    except UnreadableFileError as error:
        fail(str(error), output)
    except OSError as error:
        fail(f"{error.filename or out}: {error.strerror or error}", output)
    seconds = time.monotonic() - started
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    sys.stderr.write(
        f"{summary['lines']} lines in {seconds:.1f} s, {summary['lines'] / max(seconds, 1e-9):,.0f}/s\n"
    )
    if output is Output.json:
        print_json(summary)
    else:
        _print_summary(summary, out)


def load_rules(path: Path, output: Output) -> RuleSet:
    """The rule set of a directory; exits 2 with every mistake."""
    from tokenfuse.rules.errors import RuleFileError
    from tokenfuse.rules.loader import load

    try:
        return load(path)
    except RuleFileError as error:
        fail(str(error), output)


def lines_of(files: Iterable[str]) -> Iterator[bytes]:
    """Lines of all files, one after the other.

    Raises:
        UnreadableFileError: of `read_lines`.
    """
    from tokenfuse.cli.lines import read_lines

    for file in files:
        yield from read_lines(Path(file))


def progress(words: str = "") -> Any:
    """Lines so far after some words, on a terminal's standard error, at most every 0.2 s."""
    if not sys.stderr.isatty():
        return lambda _lines: None
    last = [0.0]

    def show(lines: int) -> None:
        if time.monotonic() - last[0] > 0.2:
            last[0] = time.monotonic()
            sys.stderr.write(f"\r\033[K{words}{lines:,} lines")

    return show


def _print_summary(summary: dict[str, Any], out: Path) -> None:
    letters = sum(summary["dead_letters"].values())
    print(f"{summary['events']:,} events from {summary['first_time']} to {summary['last_time']}")
    print(
        f"{summary['duplicates']:,} duplicates, {summary['corrections']:,} corrections, {letters:,} dead letters"
    )
    for reason, count in summary["dead_letters"].items():
        print(f"  {reason}: {count:,}")
    if summary["unpriced"]:
        print(f"{summary['unpriced']:,} calls of models without a known price, estimated conservatively")
    print(f"{summary['alerts']:,} alert transitions; everything is in {out}")
