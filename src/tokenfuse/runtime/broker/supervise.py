"""Runs one command that must not outlive the process which asked for it. Started by path, standard library only.

    python supervise.py PARENT_PID GRACE_SECONDS NOTICE COMMAND...

It prints the command's pid, then waits. When its standard input ends, or its parent is another one than PARENT_PID
(a copy of the pipe may live on in a forked child), or it gets SIGTERM, it stops the command: SIGTERM, and SIGKILL
after GRACE_SECONDS. When the command has ended, the file NOTICE (may be empty) goes if it names the command's pid.
A process between the two is the portable way: Linux's parent-death signal fires when the *thread* that forked ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

POLL_SECONDS = 0.25
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(parent_pid: int, grace_seconds: float, notice: str, command: list[str]) -> int:
    """Run `command` until it ends or nobody wants it any more."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # through the `finally` below
    child = subprocess.Popen(  # noqa: S603 - our parent's own command
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=_die_with_me,  # noqa: PLW1509 - safe here: this process has one thread
    )
    try:
        sys.stdout.write(f"{child.pid}\n")
        sys.stdout.flush()
        while child.poll() is None and not _orphaned(parent_pid):
            pass
    finally:
        _stop(child, grace_seconds)
        _remove(notice, child.pid)
    return child.returncode


def _die_with_me() -> None:
    """Even SIGKILL of this supervisor takes the command along, where the kernel can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _orphaned(parent_pid: int) -> bool:
    """True when the parent is gone; waits for that for up to POLL_SECONDS."""
    readable, _, _ = select.select([sys.stdin.fileno()], [], [], POLL_SECONDS)
    return bool(readable) or os.getppid() != parent_pid


def _stop(child: subprocess.Popen[bytes], grace_seconds: float) -> None:
    child.terminate()
    try:
        child.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _remove(notice: str, pid: int) -> None:
    """The notice goes only if it is ours: a newer process may have written its own."""
    if not notice:
        return
    with contextlib.suppress(OSError, ValueError), Path(notice).open(encoding="utf-8") as file:
        if json.load(file).get("pid") == pid:
            Path(notice).unlink()


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4:]))
