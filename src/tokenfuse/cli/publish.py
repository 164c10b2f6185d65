"""`tokenfuse publish FILE...`: lines of any accepted format to the source topic. Exit 0 all sent, 1 some not, 2 could not run.

Lines go out unchanged: whether they can be counted is for ingest to say, which keeps what it refuses with the reason.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer
from msgspec import UNSET, Struct, UnsetType

from tokenfuse.cli.common import (
    EXIT_FOUND,
    BootstrapServersOption,
    Output,
    OutputOption,
    broker_settings,
    fail,
    print_json,
    run_async,
)

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

    from tokenfuse.runtime.settings import Settings

QUEUE_LINES_MAX: Final = 5_000
CHUNK_LINES_MAX: Final = 1_000
LINGER_MS: Final = 5
SHOWN_MAX: Final = 20


class Line(Struct, frozen=True):
    """One line and where it stands, for messages."""

    path: Path
    number: int
    data: bytes


class PublishCounts(Struct, kw_only=True):
    """What became of the lines.

    Attributes:
        sent: acknowledged by the broker. keyless: of them, those whose tenant cannot be read: ingest will refuse them.
        too_long: places of lines over the limit, which were not sent.
        failed: read and not acknowledged. error: why, in words.
    """

    sent: int = 0
    keyless: int = 0
    too_long: list[str] = []
    failed: int = 0
    error: str = ""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("publish")(publish_command)


def publish_command(
    files: Annotated[list[Path], typer.Argument(help="JSON lines, also .gz or .zst; - is standard input.")],
    history: Annotated[
        bool, typer.Option("--history", help="The past: teaches what is normal and raises no alert.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="At most so many lines a second.")
    ] = None,
    bootstrap_servers: BootstrapServersOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Publish cost events to the source topic, each under its tenant."""
    from tokenfuse.cli.lines import UnreadableFileError

    settings = broker_settings(bootstrap_servers, output)
    counts = PublishCounts()
    began = time.monotonic()
    try:
        run_async(settings, partial(publish, settings, files, counts, history=history, rate=rate), output)
    except UnreadableFileError as error:
        fail(f"{error} ({counts.sent} lines of the files before it were sent)", output)
    seconds = time.monotonic() - began
    if output is Output.json:
        print_json(
            {
                "ok": not (counts.failed or counts.too_long),
                "seconds": round(seconds, 3),
                **msgspec.to_builtins(counts),
            }
        )
    else:
        _summary(counts, seconds)
    if counts.error:
        raise typer.Exit(2)
    raise typer.Exit(EXIT_FOUND if counts.too_long else 0)


async def publish(
    settings: Settings, files: list[Path], counts: PublishCounts, *, history: bool, rate: float | None
) -> None:
    """Send every line that is not empty; `counts` says at any time how far it came.

    Raises:
        UnreadableFileError: a file cannot be read; what came before it is sent.
        ReadAgainError: the source topic is missing. KafkaError: the broker does not answer at the start.
    """
    from aiokafka.errors import KafkaError

    from tokenfuse.contracts.topics import EVENTS
    from tokenfuse.gateway.reader import partitions_of
    from tokenfuse.ingest.record import HISTORY, MODE_HEADER
    from tokenfuse.runtime import kafka
    from tokenfuse.runtime.broker import probe_traits
    from tokenfuse.runtime.operators import client_options

    options = client_options(settings)
    topic = settings.topic(EVENTS)
    await partitions_of(topic, options)
    traits = await probe_traits(**options)
    idempotent = traits.idempotent_producer
    sender = _Sender(topic, [(MODE_HEADER, HISTORY)] if history else [], counts)
    lines = _LineThread(files)
    with _progress(counts) as show:
        async with kafka.producer(settings, enable_idempotence=idempotent, linger_ms=LINGER_MS) as producer:
            pace = _Pace(rate)
            while chunk := await lines.chunk(pace.lines_max):
                try:
                    await sender.send(producer, chunk)
                except KafkaError as error:
                    counts.error = (
                        f"the broker at {settings.bootstrap_servers} stopped taking lines: {error!r}"
                    )
                    return
                show()
                await pace.wait(len(chunk))


class _Sender:
    def __init__(self, topic: str, headers: list[tuple[str, bytes]], counts: PublishCounts) -> None:
        self._topic = topic
        self._headers = headers
        self._counts = counts

    async def send(self, producer: AIOKafkaProducer, chunk: Iterable[Line]) -> None:
        """Send a chunk and await its acknowledgement. Raises the first KafkaError, after all had their chance."""
        from tokenfuse.contracts.topics import EVENT_BYTES_MAX

        futures = []
        for line in chunk:
            if len(line.data) > EVENT_BYTES_MAX:
                self._counts.too_long.append(f"{line.path}:{line.number}")
                continue
            key = key_of(line.data)
            self._counts.keyless += key is None
            futures.append(await producer.send(self._topic, line.data, key=key, headers=self._headers))
        results = await asyncio.gather(*futures, return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        self._counts.failed += len(errors)
        self._counts.sent += len(results) - len(errors)
        if errors:
            raise errors[0]


class _Peek(Struct):
    tenant: str | UnsetType = UNSET
    specversion: Any = UNSET


_peek = msgspec.json.Decoder(_Peek)


def key_of(line: bytes) -> bytes | None:
    """Message key of a line: its tenant, as ingest will count it; None where no event can be read from it.

    One tenant must stay in one partition, or the same event sent twice would not be found to be the same.
    """
    try:
        peek = _peek.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _key_of_other(line)
    if peek.tenant is UNSET or peek.specversion is not UNSET:
        return _key_of_other(line)
    return peek.tenant.encode()


def _key_of_other(line: bytes) -> bytes | None:
    from tokenfuse.ingest.decode import to_events
    from tokenfuse.ingest.fault import RefusedError

    try:
        events = to_events(line, ())
    except RefusedError:
        return None
    return events[0].tenant.encode() if events else None


class _LineThread:
    """Reads files in a thread: waiting for standard input must not hold up what is being sent."""

    def __init__(self, files: list[Path]) -> None:
        self._queue: queue.Queue[Line | BaseException | None] = queue.Queue(QUEUE_LINES_MAX)
        threading.Thread(target=self._read, args=(files,), daemon=True, name="lines").start()
        self._ended: BaseException | bool = False

    async def chunk(self, lines_max: int) -> list[Line]:
        """What is there, at least one line; empty at the end. Raises UnreadableFileError, after what came before it."""
        lines: list[Line] = []
        while not self._ended and len(lines) < lines_max:
            try:
                item = self._queue.get_nowait() if lines else await asyncio.to_thread(self._queue.get)
            except queue.Empty:
                break
            if isinstance(item, Line):
                lines.append(item)
            else:
                self._ended = item or True
        if not lines and isinstance(self._ended, BaseException):
            raise self._ended
        return lines

    def _read(self, files: list[Path]) -> None:
        from tokenfuse.cli.lines import read_lines

        try:
            for path in files:
                for number, data in enumerate(read_lines(path), 1):
                    if data.strip():
                        self._queue.put(Line(path, number, data))
        except BaseException as error:
            self._queue.put(error)
        else:
            self._queue.put(None)


class _Pace:
    """Holds the sending to a rate, in steps of a twentieth of a second."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._began = time.monotonic()
        self._lines = 0
        self.lines_max = CHUNK_LINES_MAX if rate is None else max(1, min(CHUNK_LINES_MAX, int(rate / 20)))

    async def wait(self, lines: int) -> None:
        """Wait until the next line is due."""
        self._lines += lines
        if self._rate is not None:
            await asyncio.sleep(max(0.0, self._began + self._lines / self._rate - time.monotonic()))


def _progress(counts: PublishCounts) -> Any:
    """A context that gives a function to call after each step; silent where standard error is no terminal."""
    if not sys.stderr.isatty():
        return nullcontext(lambda: None)
    from rich.console import Console

    return _Status(Console(stderr=True), counts)


class _Status:
    def __init__(self, console: Any, counts: PublishCounts) -> None:
        self._status = console.status("connecting")
        self._counts = counts
        self._began = time.monotonic()

    def __enter__(self) -> Any:
        self._status.__enter__()
        return self._show

    def __exit__(self, *error: object) -> None:
        self._status.__exit__(*error)

    def _show(self) -> None:
        per_second = self._counts.sent / max(0.001, time.monotonic() - self._began)
        self._status.update(f"{self._counts.sent:,} lines sent, {per_second:,.0f} a second")


def _summary(counts: PublishCounts, seconds: float) -> None:
    print(f"{counts.sent:,} lines sent in {seconds:.1f} s")
    if counts.keyless:
        typer.echo(
            f"{counts.keyless:,} of them are no cost events: look for them among the dead letters", err=True
        )
    for place in counts.too_long[:SHOWN_MAX]:
        typer.echo(f"{place}: over 1 MiB, not sent", err=True)
    if len(counts.too_long) > SHOWN_MAX:
        typer.echo(f"and {len(counts.too_long) - SHOWN_MAX} more over 1 MiB, not sent", err=True)
    if counts.error:
        typer.echo(
            f"{counts.error}; publish again: events that have arrived are found to be the same by their id",
            err=True,
        )
