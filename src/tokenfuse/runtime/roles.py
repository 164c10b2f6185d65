"""Runs one or more roles in this process, with their health, until they are told to stop or one of them fails."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import structlog

from tokenfuse.runtime.health import Readiness, serve_health

if TYPE_CHECKING:
    from tokenfuse.runtime.settings import Settings

Role = Literal["ingest", "agents", "decider", "notify"]
ROLES: Final[tuple[Role, ...]] = ("ingest", "agents", "decider", "notify")
"""In data-flow order."""

RoleMain = Callable[["Settings", asyncio.Event, Callable[[bool], None]], Awaitable[None]]

log = structlog.get_logger(__name__)


def role_file(settings: Settings, role: str) -> Path:
    """Where a process says where its health is: `doctor` and `run` read it."""
    return settings.state_dir / f"{settings.topic_prefix}{role}.json"


async def run_roles(settings: Settings, roles: Sequence[Role], stop: asyncio.Event | None = None) -> None:
    """Run roles until `stop` is set, or SIGTERM or SIGINT where no event is given.

    Raises:
        OSError: the health port is taken. Whatever a role raises goes through: a process with half its roles is none.
    """
    stop = _stop_on_signals() if stop is None else stop
    readiness = Readiness(tuple(roles))
    async with serve_health(settings.host, settings.port, readiness) as port:
        log.info("started", roles=list(roles), health=f"http://{settings.host}:{port}", pid=os.getpid())
        files = [_announce(settings, role, port) for role in roles]
        try:
            async with asyncio.TaskGroup() as group:
                for role in roles:
                    main = await asyncio.to_thread(_role_main, role)
                    group.create_task(_run(main, settings, stop, partial(_set, readiness, role)), name=role)
        finally:
            for file in files:
                file.unlink(missing_ok=True)


async def _run(
    main: RoleMain, settings: Settings, stop: asyncio.Event, ready: Callable[[bool], None]
) -> None:
    try:
        await main(settings, stop, ready)
    finally:
        ready(False)  # noqa: FBT003 - the roles' own callback


def _set(readiness: Readiness, role: Role, ready: bool) -> None:
    readiness.set(role, ready=ready)


def _role_main(role: Role) -> RoleMain:
    """The role's entry point; imported here, so that a process loads only what it runs."""
    if role == "ingest":
        from tokenfuse.runtime.ingest import run_ingest

        return run_ingest
    if role == "agents":
        from tokenfuse.runtime.agents import run_agents

        return run_agents
    if role == "decider":
        from tokenfuse.runtime.decider import run_decider

        return run_decider
    from tokenfuse.runtime.notify import run_notify

    return run_notify


def _announce(settings: Settings, role: str, port: int) -> Path:
    path = role_file(settings, role)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps({"role": role, "pid": os.getpid(), "host": settings.host, "port": port}))
    draft.replace(path)
    return path


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
