"""A whole installation for a test: every role, a gateway and the receivers, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.processes import alive, wait_until
from tests.support.receivers import CHANNEL, ROUTING_KEY, TOKEN

if TYPE_CHECKING:
    from collections.abc import Mapping

ROLES = ("ingest", "agents", "decider", "notify")
READY_SECONDS = 90.0


class Installation:
    """Processes and files below one directory; everything is killed at the end.

    Attributes:
        environment: what every command of this installation runs with.
    """

    def __init__(
        self, directory: Path, bootstrap_servers: str, topic_prefix: str, rules: Mapping[str, str]
    ) -> None:
        """Write the rule files; nothing runs yet."""
        self.directory = directory
        self.rules_dir = directory / "rules"
        self.rules_dir.mkdir(parents=True)
        for name, text in rules.items():
            (self.rules_dir / name).write_text(text)
        self._processes: list[subprocess.Popen[str]] = []
        self.received = directory / "received.jsonl"
        self.environment = {
            **os.environ,
            "TOKENFUSE_BOOTSTRAP_SERVERS": bootstrap_servers,
            "TOKENFUSE_TOPIC_PREFIX": topic_prefix,
            "TOKENFUSE_STATE_DIR": str(directory / "state"),
            "TOKENFUSE_RULES_DIR": str(self.rules_dir),
            "TOKENFUSE_SOURCE_PARTITIONS": "4",
            "TOKENFUSE_DELTAS_PARTITIONS": "4",
            "TOKENFUSE_ROLLUP_SECONDS": "3",
            "TOKENFUSE_INSTANCE_ID": "test",
        }

    def __enter__(self) -> Self:
        """Start receivers and roles, and wait until every role is ready."""
        try:
            self._start_receivers()
            self.command("topics", "create")
            self.group = self._start("-m", "tokenfuse.cli.main", "run", log="group")
            wait_until(self.ready, "every role is ready", READY_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything; what does not stop is killed."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one `tokenfuse` command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "tokenfuse.cli.main", *arguments],
            env=self.environment, cwd=self.directory, capture_output=True, text=True, timeout=180, check=check,
        )  # fmt: skip

    def start_command(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start one `tokenfuse` command that goes on, with further settings."""
        return self._start("-m", "tokenfuse.cli.main", *arguments, log=arguments[0], **environment)

    def start_gateway(self) -> Gateway:
        """A sample gateway as a process of its own."""
        env = self.environment
        servers, prefix = env["TOKENFUSE_BOOTSTRAP_SERVERS"], env["TOKENFUSE_TOPIC_PREFIX"]
        process = self._start(
            "-m", "tokenfuse.gateway.sample", "--bootstrap-servers", servers, "--topic-prefix", prefix, "--port", "0",
        )  # fmt: skip
        assert process.stdout is not None
        return Gateway(process.stdout.readline().split()[-1])

    def pid(self, role: str) -> int | None:
        """Process id of a role that runs."""
        try:
            found = json.loads((self.directory / "state" / self._role_file(role)).read_text())["pid"]
        except (OSError, ValueError):
            return None
        return int(found) if alive(found) else None

    def ready(self) -> bool:
        """Whether every role says so itself."""
        return all(self._role_ready(role) for role in ROLES)

    def kill(self, role: str) -> None:
        """kill -9 of a role; the group starts it again."""
        wait_until(lambda: self.pid(role) is not None, f"{role} runs", READY_SECONDS)
        pid = self.pid(role)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), f"{role} is dead")

    def messages(self, receiver: str, call: str) -> list[dict[str, Any]]:
        """Bodies of what a receiver took, in order."""
        lines = self.received.read_text().splitlines() if self.received.exists() else []
        records = [json.loads(line) for line in lines]
        return [r["body"] for r in records if r["receiver"] == receiver and r["call"] == call]

    def _role_file(self, role: str) -> str:
        return f"{self.environment['TOKENFUSE_TOPIC_PREFIX']}{role}.json"

    def _role_ready(self, role: str) -> bool:
        if self.pid(role) is None:
            return False
        where = json.loads((self.directory / "state" / self._role_file(role)).read_text())
        try:
            with urllib.request.urlopen(f"http://{where['host']}:{where['port']}/readyz", timeout=2):
                return True
        except OSError:
            return False

    def _start_receivers(self) -> None:
        process = self._start("-m", "tests.support.receivers", "--port", "0", "--file", str(self.received))
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        self.environment |= {
            "TOKENFUSE_SLACK_BOT_TOKEN": TOKEN,
            "TOKENFUSE_SLACK_CHANNEL": CHANNEL,
            "TOKENFUSE_SLACK_BASE_URL": f"http://127.0.0.1:{port}/api/",
            "TOKENFUSE_PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
            "TOKENFUSE_PAGERDUTY_BASE_URL": f"http://127.0.0.1:{port}",
        }

    def _start(self, *arguments: str, log: str | None = None, **environment: str) -> subprocess.Popen[str]:
        with contextlib.ExitStack() as stack:
            output: Any = subprocess.PIPE
            if log is not None:
                output = stack.enter_context((self.directory / f"{log}.log").open("a"))
            process = subprocess.Popen(
                [sys.executable, *arguments], env=self.environment, cwd=Path.cwd(), stdout=output,
                stderr=output if log else None, text=True,
            )  # fmt: skip
        self._processes.append(process)
        return process


class Gateway:
    """Speaks to a sample gateway process."""

    def __init__(self, url: str) -> None:
        """Its address, as it printed it."""
        self._url = url

    def complete(self, **axes: str) -> tuple[int, Any]:
        """Status and body of one model call through the gateway."""
        headers = {f"X-{axis.replace('_', '-')}": value for axis, value in axes.items()}
        body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}).encode()
        request = urllib.request.Request(f"{self._url}/v1/chat/completions", body, headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
