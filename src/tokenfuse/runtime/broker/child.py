"""A server as a child process that cannot outlive us, be it stopped, killed or forgotten (`supervise.py`)."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SUPERVISE: Final = Path(__file__).with_name("supervise.py")
_POLL_SECONDS: Final = 0.01
_LOG_TAIL_BYTES: Final = 4_000


class ChildError(RuntimeError):
    """The server could not be started; the message ends with the last lines of its log."""


class Child:
    """One supervised server process.

    Attributes:
        pid: of the server itself, not of its supervisor.
        log: where its standard output and error go.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        grace_seconds: float,
        notice: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start `command`.

        Args:
            command: the executable and its arguments.
            log: overwritten.
            grace_seconds: between SIGTERM and SIGKILL when it is stopped.
            notice: a JSON file that the supervisor removes at the end if its `pid` is the server's.
            pass_fds: file descriptors (locks) that stay open as long as the supervisor lives.

        Raises:
            ChildError: the command cannot be executed.
        """
        self.log = log
        self._grace_seconds = grace_seconds
        notice_path = str(notice.absolute()) if notice else ""
        supervise = [
            sys.executable,
            "-IS",
            str(_SUPERVISE),
            str(os.getpid()),
            str(grace_seconds),
            notice_path,
        ]
        with log.open("wb") as output:
            self._supervisor = subprocess.Popen(  # noqa: S603 - the callers' own commands
                [*supervise, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                pass_fds=pass_fds,
                start_new_session=True,  # Ctrl-C is for us; we stop the server when we are through with it.
            )
        line = self._supervisor.stdout.readline() if self._supervisor.stdout else b""
        if not line.strip():
            self.stop()
            raise ChildError(self.describe(f"cannot start {command[0]}"))
        self.pid = int(line)

    @property
    def running(self) -> bool:
        """False once the server has ended, for whatever reason."""
        return self._supervisor.poll() is None

    def wait_until(self, ready: Callable[[], bool], timeout_seconds: float, what: str) -> None:
        """Poll `ready`.

        Raises:
            ChildError: the server ended, or was not ready in time; it is stopped then.
        """
        deadline = time.monotonic() + timeout_seconds
        while self.running:
            if ready():
                return
            if time.monotonic() > deadline:
                self.stop()
                raise ChildError(self.describe(f"{what} was not ready within {timeout_seconds:g} s"))
            time.sleep(_POLL_SECONDS)
        self.stop()
        raise ChildError(self.describe(f"{what} ended before it was ready"))

    def stop(self) -> None:
        """End the server in good order; returns when it is gone. May be called again."""
        for pipe in (self._supervisor.stdin, self._supervisor.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()  # the end of its input tells the supervisor to stop the server
        try:
            self._supervisor.wait(self._grace_seconds + 5)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()

    def describe(self, problem: str) -> str:
        """`problem`, followed by the last lines of the log."""
        tail = self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace") if self.log.exists() else ""
        lines = tail.strip().splitlines()[-20:] or ["(empty)"]
        return "\n  ".join([f"{problem}. The last lines of {self.log}:", *lines])


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
