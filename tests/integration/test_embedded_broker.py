"""The embedded broker as a child process: found by others, gone with its parent, clear when it fails."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from tests.support.processes import alive, wait_until

from tokenfuse.runtime.broker import BrokerRunningError, EmbeddedBroker, EmbeddedBrokerError, find_embedded
from tokenfuse.runtime.broker.ping import answers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Starts a broker, says so, and waits for its end. FORK: with a forked child that holds a copy of the pipe.
PARENT = """
import os, pathlib, sys, time
from tokenfuse.runtime.broker import EmbeddedBroker
broker = EmbeddedBroker(pathlib.Path(sys.argv[1])).start()
if sys.argv[2] == "fork":
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
else:
    print(0, flush=True)
time.sleep(60)
"""


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(params=["alone", "fork"])
def parent(request: pytest.FixtureRequest, state_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has started a broker in `state_dir`."""
    command = [sys.executable, "-c", PARENT, str(state_dir), request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        forked = int(process.stdout.readline())
        yield process
        process.kill()
        if forked:
            os.kill(forked, signal.SIGKILL)


def broker_pid(state_dir: Path) -> int:
    pid: int = json.loads((state_dir / "broker.json").read_text())["pid"]
    return pid


async def test_what_is_published_is_read_back(embedded_broker: EmbeddedBroker, topic_prefix: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=embedded_broker.bootstrap_servers) as producer:
        await producer.send_and_wait(f"{topic_prefix}events", b"event", key=b"acme", partition=0)
    async with AIOKafkaConsumer(
        f"{topic_prefix}events",
        bootstrap_servers=embedded_broker.bootstrap_servers,
        auto_offset_reset="earliest",
    ) as consumer:
        record = await asyncio.wait_for(consumer.getone(), 20)

    assert (record.key, record.value) == (b"acme", b"event")


def test_other_commands_find_it_until_it_stops(state_dir: Path) -> None:
    with EmbeddedBroker(state_dir) as broker:
        notice = json.loads((state_dir / "broker.json").read_text())
        found = find_embedded(state_dir)

    assert found == broker_address(notice)
    assert notice.keys() == {"bootstrap_servers", "pid", "started_at"}
    assert not (state_dir / "broker.json").exists()
    assert find_embedded(state_dir) is None
    assert not broker.running


def broker_address(notice: dict[str, str]) -> str:
    return notice["bootstrap_servers"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"pid": 1}',
        '{"bootstrap_servers": "127.0.0.1:1", "pid": 99999999, "started_at": ""}',
        f'{{"bootstrap_servers": "127.0.0.1:1", "pid": {os.getpid()}, "started_at": ""}}',
    ],
    ids=["empty", "not an object", "fields missing", "dead pid", "silent port"],
)
def test_a_notice_that_a_crash_left_behind_is_not_believed(tmp_path: Path, content: str) -> None:
    (tmp_path / "broker.json").write_text(content)

    assert find_embedded(tmp_path) is None


def test_a_stale_notice_does_not_hinder_a_new_broker(state_dir: Path) -> None:
    state_dir.mkdir()
    (state_dir / "broker.json").write_text("stale")

    with EmbeddedBroker(state_dir) as broker:
        assert find_embedded(state_dir) == broker.bootstrap_servers


def test_a_second_broker_for_the_same_state_directory_is_refused_and_told_where_the_first_is(
    state_dir: Path,
) -> None:
    with EmbeddedBroker(state_dir) as first:
        with pytest.raises(BrokerRunningError, match=first.bootstrap_servers):
            EmbeddedBroker(state_dir).start()

        assert answers(first.bootstrap_servers)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_parent_whatever_ends_that(
    parent: subprocess.Popen[str], state_dir: Path, end: signal.Signals
) -> None:
    pid, address = broker_pid(state_dir), find_embedded(state_dir)
    assert address is not None

    parent.send_signal(end)
    parent.wait()

    wait_until(lambda: not alive(pid), "the broker ends")
    wait_until(lambda: not (state_dir / "broker.json").exists(), "its notice is removed")
    assert not answers(address)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's parent-death signal")
def test_it_dies_even_with_its_supervisor_killed() -> None:
    broker = EmbeddedBroker().start()
    supervisor = int(subprocess.check_output(["ps", "-o", "ppid=", "-p", str(broker.pid)]))
    pid = broker.pid

    os.kill(supervisor, signal.SIGKILL)

    wait_until(lambda: not alive(pid), "the broker ends")
    assert not broker.running
    broker.stop()


def test_it_outlives_the_thread_that_started_it() -> None:
    """Linux's parent-death signal, used alone, would fire here."""
    broker = EmbeddedBroker()
    thread = threading.Thread(target=broker.start)
    thread.start()
    thread.join()

    assert broker.running
    assert answers(broker.bootstrap_servers)
    broker.stop()


async def test_it_is_an_asynchronous_context_manager_too() -> None:
    async with EmbeddedBroker() as broker:
        assert answers(broker.bootstrap_servers)
    assert not broker.running


def test_a_broker_that_has_died_is_seen_as_not_running() -> None:
    with EmbeddedBroker() as broker:
        os.kill(broker.pid, signal.SIGKILL)

        wait_until(lambda: not broker.running, "its end is seen")


def fake_binary(tmp_path: Path, script: str) -> str:
    path = tmp_path / "broker"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_broker_that_fails_says_why_with_the_last_lines_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", fake_binary(tmp_path, "echo no memory left >&2; exit 1"))

    with pytest.raises(EmbeddedBrokerError, match=r"ended before it was ready(.|\n)*no memory left"):
        EmbeddedBroker().start()


def test_a_broker_that_never_answers_is_given_up_and_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", fake_binary(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60"))

    with pytest.raises(EmbeddedBrokerError, match=r"not ready within 0\.5 s"):
        EmbeddedBroker(ready_seconds=0.5).start()

    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_missing_binary_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", "/nonexistent/tansu")

    with pytest.raises(EmbeddedBrokerError, match="/nonexistent/tansu"):
        EmbeddedBroker().start()


def test_its_address_before_the_start_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(EmbeddedBrokerError, match="with EmbeddedBroker"):
        _ = EmbeddedBroker().bootstrap_servers
