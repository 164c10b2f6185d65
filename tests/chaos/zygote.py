"""Workers by fork: a process that has imported everything makes a new worker in milliseconds instead of seconds.

A run kills and starts hundreds of workers; on two cores their imports alone would be most of it. A worker is a process of
its own all the same: a fork before any client, thread or loop exists.

Requests are lines of JSON on standard input, answers on standard output: the pid of a new worker, the end of an old one.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]


class Child:
    """A worker, as `subprocess.Popen` has it."""

    def __init__(self, pid: int, zygote: Zygote) -> None:
        self.pid, self._zygote = pid, zygote

    @property
    def returncode(self) -> int | None:
        return self._zygote.codes.get(self.pid)

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        with self._zygote.ended:
            if not self._zygote.ended.wait_for(lambda: self.returncode is not None, timeout):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.returncode is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class Zygote:
    """The harness's side.

    Attributes:
        codes: exit code by pid, of those that ended. ended: notified of each.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.codes: dict[int, int] = {}
        self.ended = threading.Condition()
        self._pids: queue.Queue[int] = queue.Queue()
        self._started: set[int] = set()
        environment = {**environment, "OPENBLAS_NUM_THREADS": "1"}  # a fork must find no threads
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.zygote"], cwd=ROOT, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, arguments: list[str], environment: dict[str, str], log: Path) -> Child:
        """A new worker."""
        assert self._process.stdin is not None
        request = {"arguments": arguments, "environment": environment, "log": str(log)}
        self._process.stdin.write(json.dumps(request) + "\n")
        pid = self._pids.get(timeout=120)
        self._started.add(pid)
        return Child(pid, self)

    def close(self) -> None:
        """The workers that are left end with it."""
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            answer = json.loads(line)
            if "code" not in answer:
                self._pids.put(answer["pid"])
                continue
            with self.ended:
                self.codes[answer["pid"]] = answer["code"]
                self.ended.notify_all()
        with self.ended:  # it ended, and with it all that it started
            self.codes.update(dict.fromkeys(self._started - self.codes.keys(), -signal.SIGKILL))
            self.ended.notify_all()


def answer(**fields: int) -> None:
    os.write(1, (json.dumps(fields) + "\n").encode())


def become(request: dict[str, Any]) -> None:
    """In the new process: never returns."""
    from tests.chaos import worker

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for new, old in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(new, old)
    os.environ.clear()
    os.environ.update(request["environment"])
    code = 70
    try:
        worker.main(request["arguments"])
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            answer(pid=pid, code=os.waitstatus_to_exitcode(status))


def main() -> None:
    from tests.chaos import worker

    import tokenfuse.cli.main
    import tokenfuse.cli.run
    import tokenfuse.runtime.agents
    import tokenfuse.runtime.decider
    import tokenfuse.runtime.ingest
    import tokenfuse.runtime.logs
    import tokenfuse.runtime.notify
    import tokenfuse.runtime.roles  # noqa: F401

    worker.die_with_parent()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    unread = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            reap()
        if 0 in ready:
            chunk = os.read(0, 65_536)
            if not chunk:
                return
            *lines, unread = (unread + chunk).split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    become(json.loads(line))
                answer(pid=pid)


if __name__ == "__main__":
    main()
