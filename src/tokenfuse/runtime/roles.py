"""Runs one or more roles in this process, with their health, until they are told to stop or one of them fails.

StartError              what a role needs of this machine is not there; the message says what to do
├── StateDirError       STATE_DIR cannot be written
├── RulesDirError       RULES_DIR does not exist
├── RoleRunsError       the role runs in this state directory already
└── TopicsMissingError  topics that the role uses do not exist
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import structlog

from tokenfuse.contracts import topics as names
from tokenfuse.runtime import topics
from tokenfuse.runtime.contact import wait_for_contact
from tokenfuse.runtime.health import Readiness, serve_health

if TYPE_CHECKING:
    from tokenfuse.runtime.settings import Settings

Role = Literal["ingest", "agents", "decider", "notify"]
ROLES: Final[tuple[Role, ...]] = ("ingest", "agents", "decider", "notify")
"""In data-flow order."""

TOPICS: Final[Mapping[Role, tuple[str, ...]]] = {
    "ingest": (names.EVENTS, names.DELTAS, names.IDS, names.DEADLETTER),
    "agents": (names.DELTAS, names.AGENTS_CHECKPOINT, names.SIGNALS, names.ROLLUPS),
    "decider": (
        names.SIGNALS, names.DECIDER_CHECKPOINT, names.COMMANDS, names.DELTAS, names.ALERTS, names.KILLSWITCH,
        names.EXPECTATIONS, names.IDS,
    ),
    "notify": (names.ALERTS,),
}  # fmt: skip
"""What each role reads and writes."""

RoleMain = Callable[["Settings", asyncio.Event, Callable[[bool], None]], Awaitable[None]]

log = structlog.get_logger(__name__)


class StartError(RuntimeError):
    """Nothing was started; the message says what to do."""


class StateDirError(StartError):
    """The state directory cannot be made or written."""


class RulesDirError(StartError):
    """There is no directory of rules."""


class TopicsMissingError(StartError):
    """A role that went on would make them: brokers do that for whoever asks, and with settings of their own."""


class RoleRunsError(StartError):
    """Two of a kind in one state directory would be taken for one another."""


def role_file(settings: Settings, role: str) -> Path:
    """Where a process says where its health is: `doctor` and `run` read it."""
    return settings.state_dir / f"{settings.topic_prefix}{role}.json"


def failure_file(settings: Settings, role: str) -> Path:
    """Where a role that ends by itself says why, for the group that it belongs to."""
    return settings.state_dir / f"{settings.topic_prefix}{role}.failed"


def check_directories(settings: Settings, roles: Sequence[Role]) -> None:
    """Before anything runs. Without rules the decider would watch over nothing.

    Raises:
        StateDirError, RulesDirError: see there.
    """
    try:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        probe = settings.state_dir / f".{os.getpid()}.tmp"
        try:
            probe.write_bytes(bytes(4096))  # an empty file is made on a full disk, too
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        where = settings.state_dir.absolute()
        raise StateDirError(
            f"TOKENFUSE_STATE_DIR: {where} cannot be written: {error.strerror}; name a directory that can"
        ) from error
    if "decider" in roles and not settings.rules_dir.is_dir():
        where = settings.rules_dir.absolute()
        raise RulesDirError(
            f"TOKENFUSE_RULES_DIR: there is no directory {where}; name one that holds rule files"
        )


@contextmanager
def only_one(settings: Settings, name: str) -> Iterator[None]:
    """This state directory is this process's, as far as `name` goes; the lock ends with the process.

    Raises:
        RoleRunsError: another process has it.
    """
    lock = os.open(settings.state_dir / f"{settings.topic_prefix}{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        yield
    except BlockingIOError as error:
        pid = os.read(lock, 20).decode() or "unknown"
        what = f"role {name}" if name in ROLES else "`tokenfuse run`"
        raise RoleRunsError(
            f"{what} runs with the state directory {settings.state_dir.absolute()} already (process {pid}): stop "
            f"that one first, or give this one a TOKENFUSE_STATE_DIR and a TOKENFUSE_INSTANCE_ID of its own"
        ) from error
    finally:
        os.close(lock)


async def run_roles(settings: Settings, roles: Sequence[Role], stop: asyncio.Event | None = None) -> None:
    """Run roles until `stop` is set, or SIGTERM or SIGINT where no event is given.

    A broker that does not answer yet is waited for.

    Raises:
        StartError, PortError, CredentialsError: nothing was started. KafkaError: the broker went away again. Whatever a role raises goes through: a process
            with half its roles is none.
    """
    stop = stop_on_signals() if stop is None else stop
    check_directories(settings, roles)
    readiness = Readiness(tuple(roles))
    with ExitStack() as locks:
        for role in roles:
            locks.enter_context(only_one(settings, role))
        async with serve_health(settings.host, settings.port, readiness) as port:
            log.info("started", roles=list(roles), health=f"http://{settings.host}:{port}", pid=os.getpid())
            files = [_announce(settings, role, port) for role in roles]
            try:
                if await wait_for_contact(settings, stop):
                    await _check_topics(settings, roles)
                    await _run_all(settings, roles, stop, readiness)
            finally:
                for file in files:
                    file.unlink(missing_ok=True)


async def _check_topics(settings: Settings, roles: Sequence[Role]) -> None:
    used = dict.fromkeys(name for role in roles for name in TOPICS[role])
    if missing := await topics.missing(settings, used):
        raise TopicsMissingError(f"no topic {', '.join(missing)}: run `tokenfuse topics create`")


async def _run_all(
    settings: Settings, roles: Sequence[Role], stop: asyncio.Event, readiness: Readiness
) -> None:
    async with asyncio.TaskGroup() as group:
        for role in roles:
            main = await asyncio.to_thread(_role_main, role)
            group.create_task(_run(main, settings, stop, partial(_set, readiness, role)), name=role)


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
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps({"role": role, "pid": os.getpid(), "host": settings.host, "port": port}))
    draft.replace(path)
    return path


def stop_on_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT. A second one ends the process at once: somebody is in a hurry."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    return stop
