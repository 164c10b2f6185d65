"""`tokenfuse run`: production. No role = every role, each in a process of its own, as one group."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tokenfuse.cli.common import (
    EXIT_COULD_NOT_RUN,
    PARENT,
    BootstrapServersOption,
    broker_settings,
    fail,
    load_settings,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from tokenfuse.runtime.broker import EmbeddedBroker
    from tokenfuse.runtime.roles import Role
    from tokenfuse.runtime.settings import Settings

POLL_SECONDS: Final = 0.5
ORPHAN_SECONDS: Final = 5.0


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
        _exit_on_failure(_run_roles(settings, roles), settings, roles)
    else:
        settings = load_settings(bootstrap_servers=bootstrap_servers)
        configure_logs(settings.log_level, "group")
        _exit_on_failure(_run_group(settings), settings, ())


async def _run_roles(settings: Settings, roles: Sequence[Role]) -> None:
    from tokenfuse.runtime.roles import run_roles, stop_on_signals

    stop = stop_on_signals()
    watch = asyncio.create_task(_stop_with_parent(stop))
    try:
        await run_roles(settings, roles, stop)
    finally:
        watch.cancel()


async def _run_group(settings: Settings) -> None:
    from tokenfuse.runtime.broker import EmbeddedBroker
    from tokenfuse.runtime.group import RoleGroup
    from tokenfuse.runtime.roles import ROLES, check_directories, stop_on_signals

    stop = stop_on_signals()
    check_directories(settings, ROLES)
    if settings.bootstrap_servers is not None:
        await RoleGroup(settings).serve(stop)
        return
    async with EmbeddedBroker(settings.state_dir) as broker, asyncio.TaskGroup() as tasks:
        settings = settings.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        watch = tasks.create_task(_fail_with_broker(broker))
        await RoleGroup(settings).serve(stop)
        watch.cancel()


async def _fail_with_broker(broker: EmbeddedBroker) -> None:
    """Everything that the embedded broker held is gone with it: nothing here can go on."""
    from tokenfuse.runtime.broker import EmbeddedBrokerError

    while broker.running:  # noqa: ASYNC110 - only asking tells
        await asyncio.sleep(POLL_SECONDS)
    raise EmbeddedBrokerError("the embedded broker ended, and what it held is gone: start again")


async def _stop_with_parent(stop: asyncio.Event) -> None:
    """A role that belongs to a group does not outlive it, however the group died."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    while os.getppid() == int(parent):  # noqa: ASYNC110 - the kernel tells only the thread that forked
        await asyncio.sleep(POLL_SECONDS)
    stop.set()
    # An embedded broker died with the group, and without one a graceful stop waits for what never comes.
    await asyncio.sleep(ORPHAN_SECONDS)
    os._exit(EXIT_COULD_NOT_RUN)


def _exit_on_failure(work: Coroutine[Any, Any, None], settings: Settings, roles: Sequence[Role]) -> None:
    """Run, and turn whatever ended it into one line and exit code 2; the details are in the log."""
    import structlog

    from tokenfuse.runtime.roles import failure_file

    try:
        asyncio.run(work)
    except Exception as error:
        causes = _causes(error)
        unforeseen = None if _is_foreseen(error) else error
        structlog.get_logger(__name__).error("stopped", reason=causes, exc_info=unforeseen)
        typer.echo(f"tokenfuse run: {causes}", err=True)
        for role in roles if PARENT in os.environ else ():
            with contextlib.suppress(OSError):
                failure_file(settings, role).write_text(causes)
        raise typer.Exit(EXIT_COULD_NOT_RUN) from None


def _causes(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_causes(each) for each in error.exceptions)
    return str(error) if _is_foreseen(error) else f"{type(error).__name__}: {error}"


def _is_foreseen(error: BaseException) -> bool:
    """Errors of our own are sentences for the operator."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_foreseen, error.exceptions))
    return isinstance(error, RuntimeError) and type(error).__module__.startswith("tokenfuse.")
