"""The processes of one run: workers by name, each with an id and a directory of its own; whoever dies is started again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.zygote import Child, Zygote
from tests.support.receivers import CHANNEL, ROUTING_KEY, TOKEN

ROOT = Path(__file__).parents[2]
ROLES = ("ingest", "agents", "decider", "notify")


@dataclass
class Member:
    """One worker. `generation` counts the directories that its state had."""

    name: str
    role: str
    instance_id: str
    process: Child
    state_dir: Path
    stopped: bool = False

    @property
    def running(self) -> bool:
        return self.process.poll() is None


class Fleet:
    """Starts, watches and ends workers.

    Attributes:
        members: by name, of those that are to live. zombies: replaced, and not dead yet.
        exits: (name, exit code) of those that ended by themselves, counted.
    """

    def __init__(self, directory: Path, environment: dict[str, str], broken: str | None = None) -> None:
        self.directory = directory
        self.environment = environment
        self.members: dict[str, Member] = {}
        self.zombies: list[Member] = []
        self.exits: Counter[tuple[str, int]] = Counter()
        self._broken = ["--break", broken] if broken else []
        self._states = 0
        self._receiver: subprocess.Popen[str] | None = None
        self._zygote = Zygote(environment)
        self.traps = directory / "traps"
        self.traps.mkdir(parents=True)

    def start_receivers(self) -> None:
        """Slack and PagerDuty, as far as the notifier is concerned."""
        self._receiver = subprocess.Popen(
            [sys.executable, "-m", "tests.support.receivers", "--port", "0", "--file", str(self.received)],
            cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._receiver.stdout is not None
        port = self._receiver.stdout.readline().strip()
        self.environment |= {
            "TOKENFUSE_SLACK_BOT_TOKEN": TOKEN, "TOKENFUSE_SLACK_CHANNEL": CHANNEL,
            "TOKENFUSE_SLACK_BASE_URL": f"http://127.0.0.1:{port}/api/",
            "TOKENFUSE_PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
            "TOKENFUSE_PAGERDUTY_BASE_URL": f"http://127.0.0.1:{port}",
        }  # fmt: skip

    @property
    def received(self) -> Path:
        return self.directory / "received.jsonl"

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One `tokenfuse` command, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "tokenfuse.cli.main", *arguments],
            cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def start(self, name: str, *, instance_id: str | None = None, state_dir: Path | None = None) -> Member:
        """A worker `<role>-<letter>`; with an empty state directory unless it is given one."""
        role = name.partition("-")[0]
        if state_dir is None:
            self._states += 1
            state_dir = self.directory / "state" / f"{name}.{self._states}"
        state_dir.mkdir(parents=True, exist_ok=True)
        instance_id = instance_id or name
        environment = {
            **self.environment, "TOKENFUSE_INSTANCE_ID": instance_id, "TOKENFUSE_STATE_DIR": str(state_dir),
        }  # fmt: skip
        arguments = ["--role", role, "--traps", str(self.traps), *self._broken]
        process = self._zygote.start(arguments, environment, self.directory / f"{name}.log")
        self.members[name] = Member(name, role, instance_id, process, state_dir)
        return self.members[name]

    def again(self, member: Member) -> Member:
        """The same worker in a new process."""
        return self.start(member.name, instance_id=member.instance_id, state_dir=member.state_dir)

    def kill(self, name: str) -> Member:
        """kill -9."""
        member = self.members.pop(name)
        member.process.kill()
        member.process.wait()
        return member

    def stop(self, member: Member) -> None:
        member.process.send_signal(signal.SIGSTOP)
        member.stopped = True

    def resume(self, member: Member) -> None:
        member.process.send_signal(signal.SIGCONT)
        member.stopped = False

    def set_trap(self, member: Member, place: str, action: str, count: int = 1) -> None:
        """See `worker.py`."""
        (self.traps / str(member.process.pid)).write_text(f"{place} {action} {count}")

    def spare(self, member: Member) -> bool:
        """Take a trap away; whether it was sprung."""
        try:
            (self.traps / str(member.process.pid)).unlink()
        except FileNotFoundError:
            return True
        return False

    def revive(self) -> None:
        """Start again what ended by itself."""
        for name, member in list(self.members.items()):
            if not member.running:
                self.exits[name, member.process.returncode] += 1
                self.again(member)
        for zombie in list(self.zombies):
            if not zombie.running:
                self.exits[f"zombie of {zombie.name}", zombie.process.returncode] += 1
                self.zombies.remove(zombie)

    def ready(self) -> bool:
        """Whether every worker says so itself; of deciders one is enough, the other stands by."""
        return all(map(self.member_ready, self.members.values()))

    def member_ready(self, member: Member) -> bool:
        prefix = self.environment["TOKENFUSE_TOPIC_PREFIX"]
        try:
            where = json.loads((member.state_dir / f"{prefix}{member.role}.json").read_text())
            with urllib.request.urlopen(f"http://{where['host']}:{where['port']}/readyz", timeout=1):
                return bool(where["pid"] == member.process.pid)
        except (OSError, ValueError):
            return False

    def terminate(self, name: str, seconds: float = 30) -> int:
        """SIGTERM, and the exit code; -9 if it did not end in time."""
        member = self.members.pop(name)
        member.process.terminate()
        try:
            return member.process.wait(seconds)
        except subprocess.TimeoutExpired:
            member.process.kill()
            return member.process.wait()

    def kill_all(self) -> None:
        """Every worker and zombie."""
        for name in list(self.members):
            self.kill(name)
        for zombie in self.zombies:
            zombie.process.kill()
            zombie.process.wait()
        self.zombies.clear()

    def close(self) -> None:
        self.kill_all()
        if self._receiver is not None:
            self._receiver.kill()
            self._receiver.wait()
        self._zygote.close()

    def lose_state(self, member: Member) -> None:
        """The local state directory is gone."""
        shutil.rmtree(member.state_dir, ignore_errors=True)

    def corrupt_state(self, member: Member) -> None:
        """Every local file holds rubbish, but locks, which are the kernel's."""
        for file in member.state_dir.rglob("*"):
            if file.is_file() and file.suffix != ".lock":
                with contextlib.suppress(OSError):
                    file.write_bytes(os.urandom(100))

    def logs(self, text: str) -> Counter[str]:
        """How many lines of each worker's log hold a text."""
        return Counter({
            file.stem: count
            for file in self.directory.glob("*.log")
            if (count := file.read_text(errors="replace").count(text))
        })  # fmt: skip

    def figures(self) -> dict[str, Any]:
        return {f"{name}:{code}": count for (name, code), count in sorted(self.exits.items())}
