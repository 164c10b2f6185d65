"""What the embedded Tansu 0.6 does otherwise than Apache Kafka, in one place (measured: docs/adr/0004)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.fetch import FetchRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiokafka import AIOKafkaConsumer

# Tansu knows DescribeTopicPartitions but neither AlterConfigs nor CreatePartitions. Every Kafka, and every
# serious stand-in for it, has the latter two, so the three keys tell the two kinds apart without settings.
_ALTER_CONFIGS: Final = 33
_CREATE_PARTITIONS: Final = 37
_DESCRIBE_TOPIC_PARTITIONS: Final = 75

_READ_UNCOMMITTED: Final = 0
# We want the header of the answer, not its records, of which a broker returns at least one whole batch.
_FETCH_BYTES_MAX: Final = 1
_FETCH_BYTES_MIN: Final = 0
# Nothing is waited for with a minimum of 0 bytes, but with a wait of 0 Tansu leaves every partition out.
_FETCH_WAIT_MS_MAX: Final = 500


@dataclass(frozen=True)
class BrokerTraits:
    """What a broker can do, as this code base needs to know it.

    Attributes:
        name: `kafka` or `tansu`, for logs and errors.
        commit_metadata: an offset commit keeps its metadata string, so it can carry a fence.
        list_offsets_exact: ListOffsets(LATEST) is the high water mark. Where it is not, never start a consumer
            at `latest` nor call `seek_to_end`: take `end_offsets` and seek.
        offset_out_of_range: a fetch beyond the log end is an error. Where it is not, it waits silently.
        idempotent_producer: aiokafka's `enable_idempotence=True` works.
        transactions: an aborted transaction is hidden from `read_committed` consumers.
        compaction: `cleanup.policy=compact` removes superseded records.
        retention: `cleanup.policy=delete` removes old records.
        topic_configs: topic configs are checked, take effect and can be altered.
        log_append_time: `message.timestamp.type=LogAppendTime` is honoured.
        static_membership: `group_instance_id` brings partitions back at once and fences a second holder.
        durable: records survive a restart of the broker.
        session_timeout_ms: what to give consumers. The embedded broker makes the first member of a group wait
            half of it, a rejoining one about twice of it.
    """

    name: str
    commit_metadata: bool
    list_offsets_exact: bool
    offset_out_of_range: bool
    idempotent_producer: bool
    transactions: bool
    compaction: bool
    retention: bool
    topic_configs: bool
    log_append_time: bool
    static_membership: bool
    durable: bool
    session_timeout_ms: int


KAFKA: Final = BrokerTraits(
    name="kafka",
    commit_metadata=True,
    list_offsets_exact=True,
    offset_out_of_range=True,
    idempotent_producer=True,
    transactions=True,
    compaction=True,
    retention=True,
    topic_configs=True,
    log_append_time=True,
    static_membership=True,
    durable=True,
    session_timeout_ms=10_000,
)

TANSU: Final = BrokerTraits(
    name="tansu",
    commit_metadata=False,
    list_offsets_exact=False,
    offset_out_of_range=False,
    idempotent_producer=False,
    transactions=False,
    compaction=False,
    retention=False,
    topic_configs=False,
    log_append_time=False,
    static_membership=False,
    durable=False,
    session_timeout_ms=3_000,
)


async def probe_traits(bootstrap_servers: str, **client_options: Any) -> BrokerTraits:
    """Traits of the broker behind `bootstrap_servers`, by a connection of our own.

    Args:
        bootstrap_servers: `host:port`, several with commas between.
        client_options: as for any aiokafka client (security and so on).

    Raises:
        KafkaError: the broker could not be reached.
    """
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers, **client_options)
    await client.bootstrap()
    try:
        return await broker_traits(client)
    finally:
        await client.close()


async def broker_traits(connected: Any) -> BrokerTraits:
    """Traits of the broker that a started aiokafka client, consumer or producer talks to: one round trip.

    Raises:
        KafkaError: the broker did not answer.
    """
    client = _client_of(connected)
    response = await client.send(client.get_random_node(), ApiVersionRequest())
    keys = {api_key for api_key, _, _ in response.api_versions}
    alters_topics = _ALTER_CONFIGS in keys or _CREATE_PARTITIONS in keys
    return TANSU if _DESCRIBE_TOPIC_PARTITIONS in keys and not alters_topics else KAFKA


async def end_offsets(
    consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, int]:
    """The offset after the last record of each partition, right on every broker.

    Tansu answers ListOffsets(LATEST) with the base offset of the last batch plus one; the high water mark that
    comes with a fetch from there is right. Neither the position nor the assignment of the consumer is touched.

    Raises:
        KafkaError: a partition is unknown or its leader did not answer.
    """
    listed: dict[TopicPartition, int] = await consumer.end_offsets(list(partitions))
    if not listed or (await broker_traits(consumer)).list_offsets_exact:
        return listed
    return await _high_water_marks(_client_of(consumer), listed)


async def _high_water_marks(
    client: AIOKafkaClient, start: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    topics: dict[str, list[tuple[int, int, int]]] = {}
    for tp, offset in start.items():
        topics.setdefault(tp.topic, []).append((tp.partition, offset, _FETCH_BYTES_MAX))
    # The embedded broker is one node, so any node leads every partition.
    request = FetchRequest(
        _FETCH_WAIT_MS_MAX, _FETCH_BYTES_MIN, _FETCH_BYTES_MAX, _READ_UNCOMMITTED, list(topics.items())
    )
    response = await client.send(client.get_random_node(), request)
    marks: dict[TopicPartition, int] = {}
    for topic, fetched in response.topics:
        for partition, error_code, high_water_mark, *_ in fetched:
            if error_code:
                raise for_code(error_code)(f"high water mark of {topic}-{partition}")
            marks[TopicPartition(topic, partition)] = high_water_mark
    if missing := start.keys() - marks.keys():
        msg = f"the broker left out the high water mark of {sorted(missing)}"
        raise KafkaError(msg)
    return marks


def patch_faust_highwaters(app: Any) -> None:
    """Let Faust's recovery use `end_offsets`: call it once all settings of the app are in, before it starts.

    Faust (`tables/recovery.py`, `_build_highwaters`) ends recovery at `consumer.highwaters()`, which are
    ListOffsets(LATEST). On Tansu that stops short inside the last batch, and its other changelog rows are
    silently never applied.
    """
    create_consumer = app.transport.create_consumer

    def create_exact_consumer(*args: Any, **kwargs: Any) -> Any:
        consumer = create_consumer(*args, **kwargs)
        thread = consumer._thread  # noqa: SLF001 - Faust has no public way to its consumer thread

        async def highwaters(partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
            return await end_offsets(thread._ensure_consumer(), partitions)  # noqa: SLF001

        thread._highwaters = highwaters  # noqa: SLF001
        return consumer

    app.transport.create_consumer = create_exact_consumer


def _client_of(connected: Any) -> AIOKafkaClient:
    """The client inside a consumer or admin client (`_client`), a producer (`client`), or itself."""
    for attribute in ("_client", "client"):
        if isinstance(inner := getattr(connected, attribute, None), AIOKafkaClient):
            return inner
    return connected
