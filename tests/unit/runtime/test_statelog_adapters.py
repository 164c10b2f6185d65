"""Agents, decider, rules poller and switch repair between bytes and bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

from tokenfuse.contracts.block import TICK_FORMAT, Tick, decode_block, encode_block
from tokenfuse.contracts.command import Command, decode_command, encode_command
from tokenfuse.contracts.formats import UnknownFormatError
from tokenfuse.contracts.killswitch import GENERATION_HEADER
from tokenfuse.contracts.signal import Clock, CommandSignal, decode_signal, encode_signal
from tokenfuse.rules.loader import load
from tokenfuse.runtime.agents import AgentPartition, agents_spec
from tokenfuse.runtime.decider import DeciderPartition, decider_spec
from tokenfuse.runtime.rules_poller import rules_command
from tokenfuse.runtime.settings import Settings
from tokenfuse.runtime.switch_repair import Standing, repairs
from tokenfuse.windows import codec

NOW_MS = 1_764_000_000_000
ROOT = Path(__file__).parents[3]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(topic_prefix="p.", deltas_partitions=3, state_dir=tmp_path)


@pytest.fixture
def decider(settings: Settings) -> DeciderPartition:
    made: Any = decider_spec(settings).factory.empty(0)
    made.apply(0, encode_signal(Clock(partition=0, offset=0, index=0, watermark_ms=NOW_MS, now_ms=NOW_MS)))
    return made


def engage(tenant: str, command_id: str = "c1", ttl_seconds: int = 600) -> bytes:
    command = Command(
        id=command_id, kind="engage", at="2025-11-24T16:00:00Z", by="ann", scope={"tenant": tenant},
        action="block", ttl_seconds=ttl_seconds,
    )  # fmt: skip
    return encode_signal(CommandSignal(command=command))


def test_an_agents_clock_goes_to_the_signals(settings: Settings) -> None:
    agent = agents_spec(settings).factory.empty(2)

    (output,) = agent.apply(0, encode_block(Tick(TICK_FORMAT, 0, 0, NOW_MS)))

    assert (output.topic, output.key, output.partition) == ("p.tokenfuse.signals", b"clock|2", 0)
    assert decode_signal(output.value or b"") == Clock(
        partition=2, offset=0, index=0, watermark_ms=0, now_ms=NOW_MS
    )


def test_an_agent_comes_back_from_its_rows(settings: Settings) -> None:
    factory = agents_spec(settings).factory
    agent: Any = factory.empty(2)
    agent.apply(0, encode_block(Tick(TICK_FORMAT, 0, 0, NOW_MS)))
    rows = {row: agent.snapshot(row) for row in agent.dirty_rows()}

    again: Any = factory.restore(2, agent.head(), rows)

    assert isinstance(again, AgentPartition)
    assert again.head() == agent.head()


def test_a_block_of_a_newer_release_is_refused_as_such(settings: Settings) -> None:
    agent = agents_spec(settings).factory.empty(0)

    with pytest.raises(UnknownFormatError, match="tick of format 2, this release reads 1: run the release"):
        agent.apply(0, encode_block(Tick(TICK_FORMAT + 1, 0, 0, NOW_MS)))


def test_a_checkpoint_of_a_newer_release_is_refused_as_such(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "FORMAT", 99)
    head = codec.pack({})
    monkeypatch.undo()

    with pytest.raises(
        UnknownFormatError, match="row of format 99, this release reads 1 to 2: run the release"
    ):
        agents_spec(settings).factory.restore(0, head, {})
    rows = {"state": msgspec.msgpack.encode({"format": 99, "new": 1})}
    with pytest.raises(UnknownFormatError, match="decider checkpoint of format 99"):
        decider_spec(settings).factory.restore(0, b"", rows)


def test_a_switch_leaves_with_its_generation(decider: DeciderPartition) -> None:
    outputs = [o for o in decider.apply(5, engage("acme")) if o.key == b"tenant=acme"]

    assert [(o.topic, o.partition, o.headers[0]) for o in outputs] == [
        ("p.tokenfuse.killswitch", 0, (GENERATION_HEADER, b"5"))
    ]


def test_a_rule_set_goes_into_every_deltas_partition(decider: DeciderPartition) -> None:
    command = rules_command(load(ROOT / "rules"), NOW_MS, "pod-0")

    outputs = decider.apply(7, encode_signal(CommandSignal(command=command)))

    blocks = [o for o in outputs if o.topic == "p.tokenfuse.deltas"]
    assert [o.partition for o in blocks] == [0, 1, 2]
    assert {decode_block(o.value or b"").generation for o in blocks} == {7}  # type: ignore[union-attr]
    assert decider.core.ruleset is not None


def test_a_rules_command_survives_both_of_its_topics() -> None:
    command = rules_command(load(ROOT / "rules"), NOW_MS, "pod-0")

    forwarded = decode_command(encode_command(command))
    signal = decode_signal(encode_signal(CommandSignal(command=forwarded)))

    assert isinstance(signal, CommandSignal)
    assert json.loads(bytes(signal.command.ruleset)) == json.loads(bytes(command.ruleset))  # type: ignore[arg-type]
    assert command.id == f"rules-{load(ROOT / 'rules').id}-{NOW_MS}"


def test_the_decider_comes_back_from_its_rows(settings: Settings, decider: DeciderPartition) -> None:
    decider.apply(5, engage("acme"))
    rows = {name: decider.snapshot(name) for name in decider.dirty_rows()}
    assert (decider.dirty_rows(), decider.dropped_rows(), decider.head()) == ([], [], b"")

    again: Any = decider_spec(settings).factory.restore(0, b"", rows)

    assert again.core.engaged() == decider.core.engaged()
    assert again.dirty_rows() == []


def test_a_topic_that_says_what_was_decided_needs_no_repair(decider: DeciderPartition) -> None:
    decider.apply(5, engage("acme"))

    assert (
        repairs(
            decider.core, {"tenant=acme": Standing(5, engaged=True), "tenant=old": Standing(3, engaged=False)}
        )
        == []
    )


@pytest.mark.parametrize(
    "standing",
    [None, Standing(3, engaged=True), Standing(4, engaged=False)],
    ids=["missing", "older switch", "released by an old decider"],
)
def test_a_switch_that_the_topic_does_not_say_is_said_again(
    decider: DeciderPartition, standing: Standing | None
) -> None:
    decider.apply(5, engage("acme"))
    topic = {"tenant=acme": standing} if standing else {}

    (change,) = repairs(decider.core, topic)

    assert (change.key, change.generation) == ("tenant=acme", 5)
    assert change.value == decider.core.engaged()["tenant=acme"]


def test_a_switch_that_was_not_decided_is_released(decider: DeciderPartition) -> None:
    decider.apply(9, engage("acme"))

    topic = {"tenant=acme": Standing(9, engaged=True), "tenant=stale": Standing(3, engaged=True)}

    assert [(c.key, c.value, c.generation) for c in repairs(decider.core, topic)] == [
        ("tenant=stale", None, 9)
    ]


def test_a_switch_leaves_as_a_cloudevent_in_binary_mode(decider: DeciderPartition) -> None:
    """Read back by the CloudEvents library, as a foreign reader would."""
    (output, *_) = [o for o in decider.apply(1, engage("acme")) if o.key == b"tenant=acme"]

    message = KafkaMessage(headers=dict(output.headers), key=output.key, value=output.value)
    event = from_binary(message, JSONFormat())

    assert (event.get_type(), event.get_subject()) == ("io.tokenfuse.killswitch.v1", "tenant=acme")
    assert event.get_data()["scope"] == {"tenant": "acme"}
