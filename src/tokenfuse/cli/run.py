"""`tokenfuse run`: production. No role = every role, each in a process of its own, as one group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from tokenfuse.cli.common import (
    EXIT_COULD_NOT_RUN,
    BootstrapServersOption,
    broker_settings,
    fail,
    load_settings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenfuse.runtime.roles import Role
    from tokenfuse.runtime.settings import Settings

PARENT_POLL_SECONDS = 0.5


def register(parent: typer.Typer) -> None:
    """Adds the verb to the command line."""
    parent.command("run")(run)


def run(
    role: Annotated[
        list[str] | None,
        typer.Option("--role", help="ingest, agents, decider or notify; may be given more than once."),
    ] = None,
    bootstrap_servers: BootstrapServersOption = None,
) -> None:
    """Run the service until it is stopped. Without a broker in the settings the embedded one is started."""
    from tokenfuse.runtime.logs import configure_logs
    from tokenfuse.runtime.roles import ROLES

    unknown = sorted(set(role or ()) - set(ROLES))
    if unknown:
        fail(f"no role {', '.join(unknown)}: there are {', '.join(ROLES)}")
    roles: tuple[Role, ...] = tuple(name for name in ROLES if name in (role or ()))
    if roles:
        settings = broker_settings(bootstrap_servers)
        configure_logs(settings.log_level, "+".join(roles))
        _exit_on_failure(_run_roles(settings, roles))
    else:
        settings = load_settings(bootstrap_servers=bootstrap_servers)
        configure_logs(settings.log_level, "group")
        _exit_on_failure(_run_group(settings))


async def _run_roles(settings: Settings, roles: Sequence[Role]) -> None:
    from tokenfuse.runtime.roles import run_roles

    stop = _stop_event()
    watch = asyncio.create_task(_stop_with_parent(stop))
    try:
        await run_roles(settings, roles, stop)
    finally:
        watch.cancel()


async def _run_group(settings: Settings) -> None:
    from tokenfuse.runtime import topics
    from tokenfuse.runtime.broker import EmbeddedBroker
    from tokenfuse.runtime.group import RoleGroup

    stop = _stop_event()
    async with contextlib.AsyncExitStack() as stack:
        if settings.bootstrap_servers is None:
            broker = await stack.enter_async_context(EmbeddedBroker(settings.state_dir))
            settings = settings.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        failed = [result for result in await topics.create(settings) if result.made is topics.Made.FAILED]
        if failed:
            msg = "; ".join(f"topic {result.topic}: {result.detail}" for result in failed)
            raise RuntimeError(msg)
        await RoleGroup(settings).serve(stop)


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _stop_with_parent(stop: asyncio.Event) -> None:
    """A role that belongs to a group does not outlive it, however the group died."""
    parent = os.environ.get("TOKENFUSE_PARENT_PID")
    while parent is not None and not stop.is_set():
        if os.getppid() != int(parent):
            stop.set()
        await asyncio.sleep(PARENT_POLL_SECONDS)


def _exit_on_failure(work: object) -> None:
    """Run, and turn whatever ended it into one line and exit code 2; the details are in the log."""
    import structlog

    try:
        asyncio.run(work)  # type: ignore[arg-type]
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        causes = _causes(error)
        structlog.get_logger(__name__).error("stopped", reason=causes, exc_info=error)
        typer.echo(f"tokenfuse run: {causes}", err=True)
        raise typer.Exit(EXIT_COULD_NOT_RUN) from None


def _causes(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_causes(each) for each in error.exceptions)
    return f"{type(error).__name__}: {error}"
