"""Making TokenFuse's topics, and comparing those that exist with what is needed. Nothing that exists is changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code
from msgspec import Struct

from tokenfuse.contracts import topics as names
from tokenfuse.runtime import kafka
from tokenfuse.runtime.broker import broker_traits

if TYPE_CHECKING:
    from aiokafka.admin import AIOKafkaAdminClient

    from tokenfuse.contracts.topics import Topic
    from tokenfuse.runtime.settings import Settings

SAFE_REPLICAS: Final = 3
"""From so many replicas on, a write needs two of them: one broker may be lost without losing money."""

CREATE_TIMEOUT_MS: Final = 15_000
VISIBLE_SECONDS_MAX: Final = 10.0
FOLLOW_SOURCE: Final = (names.IDS, names.FENCES)
ANY_PARTITIONS: Final = (names.EVENTS, names.ROLLUPS, names.DEADLETTER)
FIXED_BY_SETTING: Final = (names.DELTAS, names.AGENTS_CHECKPOINT)


class Made(StrEnum):
    """What `create` did about a topic."""

    CREATED = "created"
    EXISTS = "exists"
    FAILED = "failed"


class TopicResult(Struct, frozen=True):
    """One topic after `create`; `detail` says why it failed."""

    topic: str
    made: Made
    partitions: int
    detail: str = ""


class Problem(StrEnum):
    """What `check` finds."""

    MISSING = "missing"
    PARTITIONS = "partitions"
    REPLICATION = "replication"
    CONFIG = "config"


class Finding(Struct, frozen=True):
    """One thing that is not as it must be, and what to do about it."""

    topic: str
    problem: Problem
    found: str
    wanted: str
    advice: str


async def create(settings: Settings) -> list[TopicResult]:
    """Make the topics that are missing, with their settings. May be called again at any time.

    Raises:
        KafkaError: the broker cannot be reached.
    """
    admin = kafka.admin(settings)
    await admin.start()
    try:
        present = set(await admin.list_topics())
        missing = [topic for topic in wanted(settings) if settings.topic(topic.name) not in present]
        outcomes = await _make(admin, missing, settings) if missing else {}
        await _until_visible(admin, {name for name, (made, _) in outcomes.items() if made is Made.CREATED})
    finally:
        await admin.close()
    results = []
    for topic in wanted(settings):
        name = settings.topic(topic.name)
        made, detail = outcomes.get(name, (Made.EXISTS, ""))
        results.append(TopicResult(name, made, topic.partitions, detail))
    return results


async def check(settings: Settings) -> list[Finding]:
    """Compare the topics with what is needed; nothing found, an empty list.

    Raises:
        KafkaError: the broker cannot be reached, or does not let us look.
    """
    admin = kafka.admin(settings)
    await admin.start()
    try:
        traits = await broker_traits(admin)
        # Only existing ones are described: the question alone would create the others on many brokers.
        present = set(await admin.list_topics()) & {settings.topic(topic.name) for topic in wanted(settings)}
        described = await admin.describe_topics(sorted(present)) if present else []
        configs = await _configs(admin, present) if present and traits.topic_configs else {}
    finally:
        await admin.close()
    replicas = {
        each["topic"]: [len(partition["replicas"]) for partition in each["partitions"]] for each in described
    }
    return list(_findings(settings, replicas, configs))


async def missing(settings: Settings, topic_names: Iterable[str]) -> list[str]:
    """Full names of those of `topic_names` (without prefix) that do not exist, or that we may not see.

    Raises:
        KafkaError: the broker cannot be reached.
    """
    admin = kafka.admin(settings)
    await admin.start()
    try:
        # All are listed: a question by name would make the topic on many brokers, with the broker's defaults.
        present = set(await admin.list_topics())
    finally:
        await admin.close()
    return [name for name in map(settings.topic, topic_names) if name not in present]


def wanted(settings: Settings) -> tuple[Topic, ...]:
    """Every topic, as these settings want it; names without prefix."""
    return names.topics(
        settings.source_partitions, settings.deltas_partitions, settings.dedup_horizon_seconds
    )


async def _make(
    admin: AIOKafkaAdminClient, missing: list[Topic], settings: Settings
) -> dict[str, tuple[Made, str]]:
    """What became of each, by full name."""
    new = [
        NewTopic(
            settings.topic(topic.name), topic.partitions, settings.replication_factor,
            topic_configs=_config(topic, settings),
        )
        for topic in missing
    ]  # fmt: skip
    answer = await admin.create_topics(new, timeout_ms=CREATE_TIMEOUT_MS)
    return {name: _outcome(code, *message) for name, code, *message in answer.topic_errors}


def _outcome(code: int, message: str | None = None) -> tuple[Made, str]:
    if code == TopicAlreadyExistsError.errno:
        return Made.EXISTS, ""  # someone else made it in between: just as well
    if code:
        return Made.FAILED, f"{for_code(code).__name__}: {message or ''}".rstrip(": ")
    return Made.CREATED, ""


async def _until_visible(admin: AIOKafkaAdminClient, created: set[str]) -> None:
    """A broker may say a moment later than the controller that a topic exists; what runs next relies on it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(VISIBLE_SECONDS_MAX):
            while not created <= set(await admin.list_topics()):  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(0.1)


def _config(topic: Topic, settings: Settings) -> dict[str, str]:
    safe = {"min.insync.replicas": "2"} if settings.replication_factor >= SAFE_REPLICAS else {}
    return {**topic.config, **safe}


async def _configs(admin: AIOKafkaAdminClient, present: set[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in sorted(present)]
    found: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs(resources):
        for code, message, _, name, entries in answer.resources:
            if code:
                raise for_code(code)(f"configuration of {name}: {message}")
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _findings(
    settings: Settings, replicas: Mapping[str, list[int]], configs: Mapping[str, Mapping[str, str]]
) -> Iterator[Finding]:
    source = len(replicas.get(settings.topic(names.EVENTS), ())) or settings.source_partitions
    for topic in wanted(settings):
        name = settings.topic(topic.name)
        if name not in replicas:
            advice = "run `tokenfuse topics create`"
            yield Finding(name, Problem.MISSING, "no topic", f"{topic.partitions} partitions", advice)
            continue
        yield from _partitions(topic, name, len(replicas[name]), source)
        if min(replicas[name]) < settings.replication_factor:
            yield Finding(
                name, Problem.REPLICATION, str(min(replicas[name])), str(settings.replication_factor),
                "give it more replicas with kafka-reassign-partitions.sh",
            )  # fmt: skip
        if name in configs:
            yield from _config_findings(topic, name, configs[name])


def _partitions(topic: Topic, name: str, found: int, source: int) -> Iterator[Finding]:
    if topic.name in ANY_PARTITIONS:
        return
    need = source if topic.name in FOLLOW_SOURCE else topic.partitions
    if found == need:
        return
    if topic.name in FOLLOW_SOURCE and found < need:
        advice = f"kafka-topics.sh --alter --topic {name} --partitions {need}: it follows {names.EVENTS}"
    elif topic.name in FOLLOW_SOURCE:
        return  # more than needed does no harm
    elif topic.name in FIXED_BY_SETTING:
        advice = (
            f"set TOKENFUSE_DELTAS_PARTITIONS={found} if that is what it was made with; state lives by partition, so "
            "another number needs new topics (another TOKENFUSE_TOPIC_PREFIX)"
        )
    else:
        advice = "a broker may have made it by itself: stop TokenFuse, delete the topic, run `tokenfuse topics create`"
    yield Finding(name, Problem.PARTITIONS, str(found), str(need), advice)


def _config_findings(topic: Topic, name: str, found: Mapping[str, str]) -> Iterator[Finding]:
    for key, value in topic.config.items():
        if not COMPARE.get(key, str.__eq__)(found.get(key, ""), value):
            advice = f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config '{key}=[{value}]'"
            yield Finding(
                name, Problem.CONFIG, f"{key}={found.get(key, 'unknown')}", f"{key}={value}", advice
            )


def _at_least(found: str, need: str) -> bool:
    """Longer and larger is fine; -1 means without end."""
    return found == "-1" or (found.isdecimal() and int(found) >= int(need))


def _same_set(found: str, need: str) -> bool:
    return {part.strip() for part in found.split(",")} == set(need.split(","))


COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "cleanup.policy": _same_set,
    "max.message.bytes": _at_least,
    "retention.ms": _at_least,
    "min.compaction.lag.ms": _at_least,
}
