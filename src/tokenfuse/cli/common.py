"""What every verb shares: options, settings, exit codes, and how results are shown.

A verb is a module with `register(parent: typer.Typer) -> None`, which adds itself to the command line. It imports
heavy packages inside its functions, so that `--help` stays fast. Exit codes: 0 fine, 1 found something, 2 could not
run; results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from tokenfuse.runtime.settings import Settings

EXIT_FOUND: Final = 1
EXIT_COULD_NOT_RUN: Final = 2

BROKER_SECONDS_MAX: Final = 10.0
"""A one-shot command gives up on a broker after so long (DESIGN section 12)."""

PARENT: Final = "TOKENFUSE_PARENT_PID"
"""Set by a group for its roles, which die with it and need not repeat its warnings."""

Result = TypeVar("Result")


class Output(StrEnum):
    """How results are shown."""

    table = "table"
    json = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="For people or for programs.")]
BootstrapServersOption = Annotated[
    str | None,
    typer.Option(
        "--bootstrap-servers",
        help="Kafka brokers, host:port. Default: TOKENFUSE_BOOTSTRAP_SERVERS, else the embedded broker of the state directory.",
    ),
]


def fail(message: str, output: Output = Output.table) -> NoReturn:
    """Say why the command could not run, and exit 2. With JSON output, standard output still gets one object."""
    if output is Output.json:
        print_json({"ok": False, "error": message})
    typer.echo(message, err=True)
    raise typer.Exit(EXIT_COULD_NOT_RUN)


def load_settings(output: Output = Output.table, **overrides: Any) -> Settings:
    """Settings from the environment and `tokenfuse.yaml`; overrides that are None count as not given.

    Exits 2 with one line that names every wrong setting, never its value: one of them may be a secret.
    """
    from tokenfuse.runtime.settings_sources import WrongSettingsError, read_settings, unknown_variables

    try:
        settings = read_settings(**overrides)
    except WrongSettingsError as error:
        fail(str(error), output)
    for sentence in unknown_variables(os.environ) if PARENT not in os.environ else ():
        typer.echo(f"warning: {sentence}", err=True)
    return settings


def broker_settings(
    bootstrap_servers: str | None = None, output: Output = Output.table, **overrides: Any
) -> Settings:
    """Settings of a command that needs a broker: the one named, else the embedded one that runs here. Exits 2 if none."""
    from tokenfuse.runtime.broker import find_embedded

    settings = load_settings(output, bootstrap_servers=bootstrap_servers, **overrides)
    if settings.bootstrap_servers is not None:
        return settings
    found = find_embedded(settings.state_dir)
    if found is None:
        where = Path(settings.state_dir).absolute()
        fail(
            f"no broker: set TOKENFUSE_BOOTSTRAP_SERVERS or --bootstrap-servers, or start `tokenfuse run` "
            f"(no embedded broker runs in {where})",
            output,
        )
    return settings.model_copy(update={"bootstrap_servers": found})


def run_async(
    settings: Settings, work: Callable[[], Coroutine[Any, Any, Result]], output: Output = Output.table
) -> Result:
    """Run what talks to the broker of `settings`, after the broker answered.

    Exits 2 with one sentence if it does not answer within BROKER_SECONDS_MAX, or goes away, or refuses.
    """
    from aiokafka.errors import KafkaConnectionError, KafkaError

    from tokenfuse.gateway.reader import ReadAgainError
    from tokenfuse.runtime.contact import ContactError
    from tokenfuse.runtime.kafka import KafkaSettingsError

    noise = _LastLogLine()
    try:
        return asyncio.run(_after_answer(settings, work))
    except _NoAnswerError:
        fail(f"no answer from {settings.bootstrap_servers} within {BROKER_SECONDS_MAX:g} s", output)
    except KafkaConnectionError as error:
        fail(f"the broker at {settings.bootstrap_servers} went away: {noise.line or error}", output)
    except KafkaError as error:
        fail(f"the broker at {settings.bootstrap_servers} refused: {error!r}", output)
    except (ContactError, KafkaSettingsError, ReadAgainError) as error:
        fail(str(error), output)
    finally:
        noise.close()


def print_json(record: Any) -> None:
    """One JSON document on standard output; msgspec structs become objects."""
    from msgspec import to_builtins

    print(json.dumps(to_builtins(record), ensure_ascii=False), flush=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns, two blanks between; nothing is cut, so that it can be grepped."""
    lines = [[name.upper() for name in columns], *([*row] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


class _NoAnswerError(Exception):
    pass


async def _after_answer(settings: Settings, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    from tokenfuse.runtime.contact import contact

    try:
        async with asyncio.timeout(BROKER_SECONDS_MAX):
            await contact(settings)
    except TimeoutError:
        raise _NoAnswerError from None
    return await work()


class _LastLogLine(logging.Handler):
    """Keeps aiokafka's log lines off the screen, and the last one for our sentence: its exceptions say less."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.line = ""
        self._logger = logging.getLogger("aiokafka")
        self._propagated = self._logger.propagate
        self._logger.addHandler(self)
        self._logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self.line = record.getMessage()

    def close(self) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagated
        super().close()
