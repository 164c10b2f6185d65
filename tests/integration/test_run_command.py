"""`tokenfuse run` as an operator meets it: it waits for a broker, ends in good order or by force, and takes all along."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.processes import alive, wait_until

from tokenfuse.runtime.broker.child import Child, free_port
from tokenfuse.runtime.broker.embedded import _binary, _command
from tokenfuse.runtime.broker.ping import answers
from tokenfuse.runtime.group import GroupFailedError, RoleGroup
from tokenfuse.runtime.roles import check_directories
from tokenfuse.runtime.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = Path(__file__).parents[2] / "rules"
ROLES = ("ingest", "agents", "decider", "notify")
READY_SECONDS = 90.0


class Run:
    """`tokenfuse run` in a directory of its own, and what it started."""

    def __init__(self, directory: Path, *arguments: str, **settings: str) -> None:
        self.directory = directory
        if not (directory / "rules").exists():
            shutil.copytree(RULES, directory / "rules")
        self._kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENFUSE_")}
        self._kept |= {f"TOKENFUSE_{name}": value for name, value in settings.items()}
        self._kept |= {"TOKENFUSE_DELTAS_PARTITIONS": settings.get("DELTAS_PARTITIONS", "2")}
        with (directory / "out").open("w") as out, (directory / "err").open("w") as err:
            self.process = subprocess.Popen(
                self._line("run", *arguments), cwd=directory, env=self._kept, stdout=out, stderr=err,
                start_new_session=True,
            )  # fmt: skip

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command with the same settings."""
        return subprocess.run(
            self._line(*arguments), cwd=self.directory, env=self._kept, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    def state(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.directory / ".tokenfuse" / name).read_text()))

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory / "out").read_text().splitlines()]

    def said(self, event: str) -> bool:
        return any(line["event"].startswith(event) for line in self.log())

    @property
    def error(self) -> str:
        """What stands on standard error."""
        return (self.directory / "err").read_text()

    def ready(self) -> bool:
        return self.status() == 200

    def status(self) -> int:
        """Of /readyz; 0: nobody answers."""
        started = [line["health"] for line in self.log() if "health" in line]
        try:
            with urllib.request.urlopen(f"{started[0]}/readyz", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return int(error.code)
        except (OSError, IndexError):
            return 0

    def pids(self) -> list[int]:
        """Of the roles, and of the embedded broker where there is one."""
        files = [f"{role}.json" for role in ROLES] + ["broker.json"]
        return [int(self.state(f)["pid"]) for f in files if (self.directory / ".tokenfuse" / f).exists()]

    def end(self) -> None:
        """Whatever happened."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(40)

    @staticmethod
    def _line(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "tokenfuse.cli.main", *arguments]


@pytest.fixture
def embedded(tmp_path) -> Iterator[Run]:
    """All roles on the embedded broker, ready."""
    run = Run(tmp_path)
    try:
        wait_until(run.ready, "every role is ready", READY_SECONDS)
        yield run
    finally:
        run.end()


def doctor_of(run: Run) -> tuple[int, dict[str, str]]:
    """Exit code, and health by part."""
    result = run.command("doctor", "--output", "json")
    return result.returncode, {
        check["part"]: check["health"] for check in json.loads(result.stdout)["checks"]
    }


def test_a_day_in_the_life_of_one_that_runs(embedded, tmp_path):
    """One story, since each start of all roles takes seconds: others come by, a role hangs, Ctrl-C."""
    wait_until(lambda: embedded.said("new rules"), "the rules are in force", 60)
    _, healthy = doctor_of(embedded)
    second = embedded.command("run")
    other = tmp_path / "other"
    other.mkdir()
    address = embedded.state("broker.json")["bootstrap_servers"]
    differs = Run(other, "--bootstrap-servers", address, DELTAS_PARTITIONS="3")
    differs_code = differs.process.wait(60)
    os.kill(int(embedded.state("agents.json")["pid"]), signal.SIGSTOP)
    try:
        hanging_code, hanging = doctor_of(embedded)
    finally:
        os.kill(int(embedded.state("agents.json")["pid"]), signal.SIGCONT)
    pids = embedded.pids()
    os.killpg(embedded.process.pid, signal.SIGINT)  # as a terminal does for Ctrl-C
    code = embedded.process.wait(40)

    assert {healthy[f"{kind} {role}"] for role in ROLES for kind in ("consumer", "role")} == {"ok"}
    assert second.returncode == 2
    assert "an embedded broker serves .tokenfuse already" in second.stderr.splitlines()[-1]
    assert differs_code == 2
    assert (
        "topic tokenfuse.deltas has 2 partitions, wanted 3: set TOKENFUSE_DELTAS_PARTITIONS=2"
        in differs.error
    )
    assert (hanging_code, hanging["role agents"], hanging["consumer agents"]) == (1, "wrong", "wrong")
    assert (code, len(pids), any(map(alive, pids)), embedded.error) == (0, len(ROLES) + 1, False, "")
    assert {line["role"] for line in embedded.log()} >= {"group", *ROLES}


def test_kill_9_of_the_group_takes_every_role_and_the_broker_along(embedded):
    pids = embedded.pids()
    os.kill(embedded.process.pid, signal.SIGKILL)
    embedded.process.wait(10)
    wait_until(lambda: not any(map(alive, pids)), "roles and broker are gone", 20)
    assert len(pids) == len(ROLES) + 1


def test_it_waits_for_its_broker_says_so_and_becomes_ready(tmp_path):
    address = f"127.0.0.1:{free_port()}"
    run = Run(tmp_path, "--bootstrap-servers", address)
    try:
        wait_until(lambda: run.said("waiting for the broker"), "it says what it waits for", 60)
        assert run.status() == 503
        (waiting,) = [line for line in run.log() if line["event"].startswith("waiting for the broker")]
        assert waiting["error"] == f"no broker at {address}: Connection refused"
        broker = Child(_command(_binary(), address), tmp_path / "broker.log", grace_seconds=1)
        try:
            broker.wait_until(lambda: answers(address), 20, "the broker")
            wait_until(run.ready, "every role is ready", READY_SECONDS)
            run.end()
        finally:
            broker.stop()
    finally:
        run.end()
    assert run.process.returncode == 0


def test_a_role_without_its_topics_makes_none_and_says_what_to_run(embedded_broker, topic_prefix, tmp_path):
    arguments = ["--role", "notify", "--bootstrap-servers", embedded_broker.bootstrap_servers]
    run = Run(tmp_path, *arguments, TOPIC_PREFIX=topic_prefix)
    assert run.process.wait(60) == 2
    assert (
        run.error
        == f"tokenfuse run: no topic {topic_prefix}tokenfuse.alerts: run `tokenfuse topics create`\n"
    )
    checked = run.command(
        "topics", "check", "-o", "json", "--bootstrap-servers", embedded_broker.bootstrap_servers
    )
    assert {finding["problem"] for finding in json.loads(checked.stdout)["findings"]} == {"missing"}


async def test_a_role_that_cannot_stay_up_ends_the_group_with_its_reason(tmp_path):
    settings = Settings(
        bootstrap_servers="127.0.0.1:1", state_dir=tmp_path / "state", rules_dir=tmp_path / "nowhere"
    )
    check_directories(settings, ())
    with pytest.raises(
        GroupFailedError, match=r"role decider ended 5 times within .* TOKENFUSE_RULES_DIR: there is no"
    ):
        await RoleGroup(settings, ("decider",), tmp_path / "logs").run(asyncio.Event())


def test_a_dead_embedded_broker_ends_everything_with_the_reason(embedded):
    pids = embedded.pids()
    os.kill(int(embedded.state("broker.json")["pid"]), signal.SIGKILL)
    assert embedded.process.wait(60) == 2
    assert (
        embedded.error.splitlines()[-1]
        == "tokenfuse run: the embedded broker ended, and what it held is gone: start again"
    )
    assert not any(map(alive, pids))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"STATE_DIR": "file/state"}, "TOKENFUSE_STATE_DIR: "),
        ({"RULES_DIR": "nowhere"}, "TOKENFUSE_RULES_DIR: there is no directory "),
        ({"LOG_LEVEL": "loud"}, "TOKENFUSE_LOG_LEVEL: "),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_sentence_and_exit_2(tmp_path, settings, sentence):
    (tmp_path / "file").write_text("")
    run = Run(tmp_path, **settings)
    assert run.process.wait(60) == 2
    assert sentence in run.error
    assert run.error.count("\n") == 1
