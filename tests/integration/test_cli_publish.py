"""`tokenfuse publish`: every line arrives unchanged, one tenant in one partition."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
from collections import defaultdict

import typer
from tests.support.switch_topic import create_topic
from typer.testing import CliRunner

from tokenfuse.cli import publish
from tokenfuse.contracts.topics import EVENT_BYTES_MAX, EVENTS
from tokenfuse.gateway.reader import read_to_end
from tokenfuse.ingest.record import HISTORY, MODE_HEADER

LINE = '{{"id":"{n}","time":1764000000,"tenant":"t{t}","feature":"f","model":"m","input_tokens":1,"output_tokens":1}}'


def lines(count: int) -> list[bytes]:
    return [LINE.format(n=n, t=n % 7).encode() for n in range(count)]


def run(broker, prefix, *arguments):
    app = typer.Typer()
    app.command("other")(lambda: None)
    publish.register(app)
    command = ["publish", *map(str, arguments), "--bootstrap-servers", broker.bootstrap_servers, "-o", "json"]
    return CliRunner().invoke(app, command, env={"TOKENFUSE_TOPIC_PREFIX": prefix})


def records(broker, prefix) -> list:
    return asyncio.run(read_to_end(prefix + EVENTS, {"bootstrap_servers": broker.bootstrap_servers}))


def test_lines_arrive_unchanged_and_each_tenant_in_one_partition(broker, topic_prefix, tmp_path) -> None:
    asyncio.run(create_topic(broker.bootstrap_servers, topic_prefix + EVENTS, 4))
    wanted = lines(3000)
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(wanted[:1500]) + b"\n\nnot json\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"\n".join(wanted[1500:])))

    result = run(broker, topic_prefix, tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz", "--history")

    assert result.exit_code == 0, result.output
    counts = json.loads(result.stdout)
    assert (counts["sent"], counts["keyless"], counts["failed"]) == (3001, 1, 0)
    arrived = records(broker, topic_prefix)
    assert sorted(record.value for record in arrived) == sorted([*wanted, b"not json"])
    assert all(record.headers == ((MODE_HEADER, HISTORY),) for record in arrived)
    partitions = defaultdict(set)
    for record in arrived:
        if record.key is not None:
            partitions[record.key].add(record.partition)
    assert len(partitions) == 7
    assert all(len(each) == 1 for each in partitions.values())


def test_a_line_that_is_too_long_is_reported_with_its_place(broker, topic_prefix, tmp_path) -> None:
    asyncio.run(create_topic(broker.bootstrap_servers, topic_prefix + EVENTS, 1))
    path = tmp_path / "long.jsonl"
    path.write_bytes(b"\n".join([lines(1)[0], b"x" * (EVENT_BYTES_MAX + 1), lines(2)[1]]))

    result = run(broker, topic_prefix, path)

    assert result.exit_code == 1
    assert json.loads(result.stdout)["too_long"] == [f"{path}:2"]
    assert len(records(broker, topic_prefix)) == 2


def test_a_file_that_cannot_be_read_is_named_after_what_came_before_it_was_sent(
    broker, topic_prefix, tmp_path
) -> None:
    asyncio.run(create_topic(broker.bootstrap_servers, topic_prefix + EVENTS, 1))
    (tmp_path / "a.jsonl").write_bytes(lines(1)[0])

    result = run(broker, topic_prefix, tmp_path / "a.jsonl", tmp_path / "missing.jsonl")

    assert result.exit_code == 2
    assert "missing.jsonl" in json.loads(result.stdout)["error"]
    assert "1 lines" in json.loads(result.stdout)["error"]
    assert len(records(broker, topic_prefix)) == 1


def test_a_line_on_standard_input_is_sent_without_waiting_for_the_next(broker, topic_prefix) -> None:
    asyncio.run(create_topic(broker.bootstrap_servers, topic_prefix + EVENTS, 1))
    command = [sys.executable, "-m", "tokenfuse.cli.main", "publish", "-", "-o", "json"]
    environment = {
        **os.environ,
        "TOKENFUSE_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "TOKENFUSE_TOPIC_PREFIX": topic_prefix,
    }
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    process.stdin.write(lines(1)[0] + b"\n")
    process.stdin.flush()

    async def arrived() -> None:
        async with asyncio.timeout(60):
            options = {"bootstrap_servers": broker.bootstrap_servers}
            while not await read_to_end(topic_prefix + EVENTS, options):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)

    asyncio.run(arrived())
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["sent"] == 1


def test_a_missing_source_topic_is_not_made_by_asking_for_it(broker, topic_prefix, tmp_path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(1)[0])

    result = run(broker, topic_prefix, tmp_path / "a.jsonl")

    assert result.exit_code == 2
    assert "topics create" in json.loads(result.stdout)["error"]
    assert run(broker, topic_prefix, tmp_path / "a.jsonl").exit_code == 2
