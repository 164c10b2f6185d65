"""`tokenfuse convert FILE...`: any accepted format to canonical JSON lines. Exit 0 all taken, 1 some refused, 2 could not run."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import typer
from msgspec import Struct

from tokenfuse.cli.lines import UnreadableFileError, read_lines
from tokenfuse.cli.rejects import reject_line
from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.event import CostEvent, encode_event
from tokenfuse.contracts.money import to_usd
from tokenfuse.ingest.fault import DeadLetterFault, RefusedError


class ConvertCounts(Struct, frozen=True):
    """What became of the lines.

    Attributes:
        lines: non-empty lines. events: canonical lines written; one line may hold several calls, or none.
        refused: lines per reason.
        unpriced: with `price`: events of unknown price, written without a cost.
    """

    lines: int
    events: int
    refused: dict[str, int]
    unpriced: int


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("convert")(convert_command)


def convert_command(
    files: Annotated[list[Path], typer.Argument(help="JSON lines, also .gz or .zst; - is standard input.")],
    price: Annotated[
        bool, typer.Option("--price", help="Add our price where the producer says none.")
    ] = False,
    deadletter: Annotated[Path | None, typer.Option("--deadletter", help="Write refused lines here.")] = None,
) -> None:
    """Convert events of any accepted format to canonical JSON lines on standard output."""
    try:
        with _writing(deadletter) as rejects:
            counts = convert(files, sys.stdout.buffer, rejects, price=price)
    except (UnreadableFileError, OSError) as error:
        print(f"tokenfuse convert: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    refused = sum(counts.refused.values())
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.refused.items()))
    print(
        f"{counts.lines} lines, {counts.events} events, {refused} refused{f' ({reasons})' if reasons else ''}"
        + (f", {counts.unpriced} of unknown price" if price else ""),
        file=sys.stderr,
    )
    raise typer.Exit(1 if refused else 0)


def convert(
    paths: Sequence[Path], out: IO[bytes], deadletter: IO[bytes] | None, *, price: bool
) -> ConvertCounts:
    """Writes canonical JSON lines to `out`, and to `deadletter` one JSON line per refused line.

    `cost_usd` is what the producer said (null where nothing) unless `price`; an unknown price stays null, since a
    canonical cost is believed and an estimate must not be.

    Raises:
        UnreadableFileError: a file cannot be read; what came before it is written.
    """
    converter = _Converter(price=price)
    lines = 0
    for path in paths:
        for number, line in enumerate(read_lines(path), 1):
            if not line.strip():
                continue
            lines += 1
            result = converter.events(line)
            if isinstance(result, DeadLetterFault):
                if deadletter is not None:
                    deadletter.write(reject_line(result, str(path), number, line))
            else:
                out.writelines(encode_event(event) + b"\n" for event in result)
    out.flush()
    return converter.counts(lines)


class _Converter:
    def __init__(self, *, price: bool) -> None:
        from tokenfuse.ingest.normalise import Normaliser
        from tokenfuse.pricing.book import PriceBook

        # Without a record's timestamp to compare with, times are only asked to lie between 2015 and 2100.
        self._normaliser = Normaliser((), age_max_seconds=0, ahead_max_seconds=0, book=PriceBook())
        self._price = price
        self._events = self._unpriced = 0
        self._refused: Counter[str] = Counter()

    def events(self, line: bytes) -> list[CostEvent] | DeadLetterFault:
        """The canonical events of one line, all checked as ingest checks them, or the fault."""
        from tokenfuse.ingest.decode import to_events

        try:
            events = [self._canonical(event) for event in to_events(line, ())]
        except RefusedError as refused:
            self._refused[refused.fault.reason.value] += 1
            return refused.fault
        self._events += len(events)
        return events

    def _canonical(self, event: CostEvent) -> CostEvent:
        call = self._normaliser.call(event, None)
        said: dict[str, Any] = {"time": to_rfc3339(call.time_ms)}
        if self._price and event.cost_usd is None:
            self._unpriced += call.unpriced
            said["cost_usd"] = None if call.unpriced else Decimal(to_usd(call.cost_nanousd))
        return msgspec.structs.replace(event, **said)

    def counts(self, lines: int) -> ConvertCounts:
        return ConvertCounts(lines, self._events, dict(sorted(self._refused.items())), self._unpriced)


def _writing(path: Path | None) -> AbstractContextManager[IO[bytes] | None]:
    return nullcontext() if path is None else path.open("wb")
