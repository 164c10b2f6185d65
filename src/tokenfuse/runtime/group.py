"""`tokenfuse run` without a role: every role as a child process of this one, restarted when it dies, and stopped with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from tokenfuse.runtime import topics
from tokenfuse.runtime.contact import wait_for_contact
from tokenfuse.runtime.health import Readiness, serve_health
from tokenfuse.runtime.roles import ROLES, Role, failure_file, only_one, role_file
from tokenfuse.runtime.statelog.exits import ExitReason

if TYPE_CHECKING:
    from tokenfuse.runtime.settings import Settings

RESTARTS_MAX: Final = 5
RESTARTS_SECONDS: Final = 60.0
"""A role that dies more often than so many times within so long is not restarted: the whole group gives up."""

STOP_SECONDS: Final = 15.0
PROBE_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)


class GroupFailedError(RuntimeError):
    """A role could not be kept running, or the topics are not as the roles need them."""


class RoleGroup:
    """The roles as child processes.

    Attributes:
        readiness: by role, as its own `/readyz` says.
    """

    def __init__(
        self, settings: Settings, roles: tuple[Role, ...] = ROLES, log_dir: Path | None = None
    ) -> None:
        """Nothing runs yet. Children get these settings through their environment; log_dir: one log file a role."""
        self._settings = settings
        self._roles = roles
        self._log_dir = log_dir
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self.readiness = Readiness(roles)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep every role running until `stop` is set.

        Raises:
            GroupFailedError: a role died too often; the others are stopped.
        """
        try:
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(self._keep(role, stop), name=role) for role in self._roles]
                prober = group.create_task(self._probe())
                await asyncio.gather(*keepers)
                prober.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            await self._stop_all()

    def pid(self, role: Role) -> int | None:
        """Process id of a role's current child."""
        child = self._children.get(role)
        return child.pid if child is not None else None

    async def serve(self, stop: asyncio.Event) -> None:
        """`run` with a health endpoint that speaks for the whole group; makes the topics that are missing.

        Raises:
            GroupFailedError, PortError, RoleRunsError, CredentialsError: nothing runs any more.
        """
        settings = self._settings
        with only_one(settings, "group"):
            async with serve_health(settings.host, settings.port, self.readiness) as port:
                where = f"http://{settings.host}:{port}"
                log.info("group_started", roles=list(self._roles), health=where, pid=os.getpid())
                if await wait_for_contact(settings, stop):
                    await make_topics(settings)
                    await self.run(stop)

    async def _keep(self, role: Role, stop: asyncio.Event) -> None:
        deaths: deque[float] = deque(maxlen=RESTARTS_MAX)
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            child = self._children[role] = await self._spawn(role)
            stopped = asyncio.create_task(stop.wait())
            died = asyncio.create_task(child.wait())
            await asyncio.wait({stopped, died}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if not died.done():
                died.cancel()
                return
            self.readiness.set(role, ready=False)
            deaths.append(loop.time())
            if len(deaths) == RESTARTS_MAX and deaths[-1] - deaths[0] < RESTARTS_SECONDS:
                msg = f"role {role} ended {RESTARTS_MAX} times within {RESTARTS_SECONDS:g} s, at last because"
                raise GroupFailedError(f"{msg}: {self._why(role, child)}")
            log.warning("role_died", died=role, reason=self._why(role, child), action="restarted")
            await asyncio.sleep(min(0.2 * 2 ** len(deaths), 5.0))

    def _why(self, role: Role, child: asyncio.subprocess.Process) -> str:
        """What the role said at its end; else what its exit code means."""
        with contextlib.suppress(OSError):
            return failure_file(self._settings, role).read_text()
        code = child.returncode or 0
        if code < 0:
            return f"{signal.Signals(-code).name} killed it"
        advice = {reason.code: f"{reason.name.lower()}: {reason.advice}" for reason in ExitReason}
        return advice.get(code, f"exit code {code}, see its log")

    async def _spawn(self, role: Role) -> asyncio.subprocess.Process:
        failure_file(self._settings, role).unlink(missing_ok=True)
        output = None
        if self._log_dir is not None:
            self._log_dir.mkdir(parents=True, exist_ok=True)
            output = (self._log_dir / f"{role}.log").open("ab")
        arguments = [sys.executable, "-m", "tokenfuse.cli.main", "run", "--role", role]
        try:
            return await asyncio.create_subprocess_exec(
                *arguments,
                env=self._environment(),
                stdout=output,
                stderr=asyncio.subprocess.STDOUT if output else None,
                start_new_session=True,  # Ctrl-C goes to the parent, which stops its children
            )
        finally:
            if output is not None:
                output.close()

    def _environment(self) -> dict[str, str]:
        """This process's environment, and what it found out: where the broker is, a free port for every health."""
        found = {
            "TOKENFUSE_BOOTSTRAP_SERVERS": self._settings.bootstrap_servers or "",
            "TOKENFUSE_PORT": "0",
            "TOKENFUSE_STATE_DIR": str(self._settings.state_dir.absolute()),
            "TOKENFUSE_RULES_DIR": str(self._settings.rules_dir.absolute()),
            "TOKENFUSE_PARENT_PID": str(os.getpid()),
            "TOKENFUSE_SOURCE_PARTITIONS": str(self._settings.source_partitions),
            "TOKENFUSE_DELTAS_PARTITIONS": str(self._settings.deltas_partitions),
            "TOKENFUSE_TOPIC_PREFIX": self._settings.topic_prefix,
        }
        given = {name: value for name, value in found.items() if value}
        # A setting that came from a file is passed on as it was read: both at once would be refused.
        kept = {name: value for name, value in os.environ.items() if name.removesuffix("_FILE") not in given}
        return {**kept, **given}

    async def _probe(self) -> None:
        while True:
            for role in self._roles:
                self.readiness.set(role, ready=await asyncio.to_thread(self._is_ready, role))
            await asyncio.sleep(PROBE_SECONDS)

    def _is_ready(self, role: Role) -> bool:
        try:
            where = json.loads(role_file(self._settings, role).read_text())
            child = self._children.get(role)
            if child is None or child.pid != where["pid"]:
                return False
            url = f"http://{where['host']}:{where['port']}/readyz"
            with urllib.request.urlopen(url, timeout=1):
                return True
        except (OSError, ValueError, urllib.error.URLError):
            return False

    async def _stop_all(self) -> None:
        running = [child for child in self._children.values() if child.returncode is None]
        for child in running:
            child.send_signal(signal.SIGTERM)
        if running:
            waits = [asyncio.create_task(child.wait()) for child in running]
            _, late = await asyncio.wait(waits, timeout=STOP_SECONDS)
            for wait in late:
                wait.cancel()
        for child in running:
            if child.returncode is None:
                child.kill()
                await child.wait()


async def make_topics(settings: Settings) -> None:
    """Make the topics that are missing; refuse those whose partitions are not what the state is placed by.

    Raises:
        GroupFailedError: with what to do. KafkaError: the broker does not answer.
    """
    failed = [result for result in await topics.create(settings) if result.made is topics.Made.FAILED]
    if failed:
        raise GroupFailedError(
            "; ".join(f"topic {each.topic} was not made: {each.detail}" for each in failed)
        )
    for finding in await topics.check(settings):
        sentence = f"topic {finding.topic} has {finding.found} {finding.problem}, wanted {finding.wanted}"
        if finding.problem is topics.Problem.PARTITIONS:
            raise GroupFailedError(f"{sentence}: {finding.advice}")
        log.warning(
            "topic_differs",
            topic=finding.topic,
            found=finding.found,
            wanted=finding.wanted,
            advice=finding.advice,
        )
