"""`topics create` and `topics check` on both brokers."""

from __future__ import annotations

import asyncio
import json

import typer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from typer.testing import CliRunner

from tokenfuse.cli import topics
from tokenfuse.contracts.topics import DELTAS, EVENTS, FENCES, KILLSWITCH


def run(broker, prefix, *arguments, **settings):
    app = typer.Typer()
    topics.register(app)
    environment = {
        "TOKENFUSE_TOPIC_PREFIX": prefix,
        **{f"TOKENFUSE_{k.upper()}": str(v) for k, v in settings.items()},
    }
    command = ["topics", *arguments, "--bootstrap-servers", broker.bootstrap_servers]
    return CliRunner().invoke(app, [*command, "--output", "json"], env=environment)


def make(broker, name, partitions, **configs):
    asyncio.run(make_topic(broker, name, partitions, configs))


async def make_topic(broker, name, partitions, configs):
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
    async with asyncio.timeout(60):
        while name not in await admin.list_topics():  # noqa: ASYNC110 - a broker may say so later than the controller
            await asyncio.sleep(0.02)
    await admin.close()


def found(result):
    assert result.exit_code in (0, 1), result.output
    return {
        (f["topic"].split(".", 1)[1], f["problem"], f["found"]) for f in json.loads(result.stdout)["findings"]
    }


def test_topics_are_created_once_and_are_then_as_they_must_be(broker, topic_prefix) -> None:
    before = run(broker, topic_prefix, "check")
    first = run(broker, topic_prefix, "create")
    again = run(broker, topic_prefix, "create")
    after = run(broker, topic_prefix, "check")

    assert {problem for _, problem, _ in found(before)} == {"missing"}
    assert {each["made"] for each in json.loads(first.stdout)["topics"]} == {"created"}
    assert {each["made"] for each in json.loads(again.stdout)["topics"]} == {"exists"}
    assert (first.exit_code, again.exit_code, after.exit_code) == (0, 0, 0)
    assert found(after) == set()


def test_a_topic_that_a_broker_made_by_itself_is_found(broker, topic_prefix) -> None:
    make(broker, topic_prefix + KILLSWITCH, 3)
    make(broker, topic_prefix + EVENTS, 6)
    run(broker, topic_prefix, "create", deltas_partitions=8)

    result = found(run(broker, topic_prefix, "check", deltas_partitions=4))

    assert (KILLSWITCH, "partitions", "3") in result
    assert (DELTAS, "partitions", "8") in result
    assert (FENCES, "partitions", "4") in result, "it follows the source topic"
    assert not any(topic == EVENTS and problem == "partitions" for topic, problem, _ in result)


def test_settings_that_would_lose_money_or_switches_are_found(kafka_broker, topic_prefix) -> None:
    make(kafka_broker, topic_prefix + KILLSWITCH, 1)
    make(kafka_broker, topic_prefix + EVENTS, 4, **{"cleanup.policy": "compact", "max.message.bytes": "1000"})
    run(kafka_broker, topic_prefix, "create")

    result = run(kafka_broker, topic_prefix, "check", replication_factor=3)

    assert result.exit_code == 1
    assert {
        (KILLSWITCH, "config", "cleanup.policy=delete"),
        (EVENTS, "config", "cleanup.policy=compact"),
        (EVENTS, "config", "message.timestamp.type=CreateTime"),
        (EVENTS, "config", "max.message.bytes=1000"),
        (EVENTS, "replication", "1"),
    } <= found(result)
    assert all(each["advice"] for each in json.loads(result.stdout)["findings"])


def test_without_a_broker_one_sentence_and_exit_2(topic_prefix) -> None:
    class Nowhere:
        bootstrap_servers = "127.0.0.1:1"

    result = run(Nowhere, topic_prefix, "check")

    assert result.exit_code == 2
    assert "no broker at 127.0.0.1:1" in json.loads(result.stdout)["error"]
