"""The Faust app of one worker: settings that keep it exact, one agent, one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

import mode

from tokenfuse.contracts.topics import BLOCK_BYTES_MAX
from tokenfuse.runtime import kafka
from tokenfuse.runtime.broker.quirks import patch_faust_highwaters
from tokenfuse.runtime.statelog import faust_internals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tokenfuse.runtime.broker.quirks import BrokerTraits
    from tokenfuse.runtime.settings import Settings
    from tokenfuse.runtime.statelog.owner import StateLogSpec
    from tokenfuse.runtime.statelog.watchdog import Pulse


def app_options(settings: Settings, spec: StateLogSpec, traits: BrokerTraits) -> dict[str, Any]:
    """Options of the Faust app. What is set against Faust's default says why."""
    session_seconds = traits.session_timeout_ms / 1000
    datadir = settings.state_dir.absolute() / "faust" / spec.role
    datadir.mkdir(parents=True, exist_ok=True)
    return {
        "broker": ";".join(f"kafka://{host}" for host in kafka.bootstrap_servers(settings).split(",")),
        "broker_credentials": kafka.faust_credentials(settings),
        "broker_session_timeout": session_seconds,
        "broker_heartbeat_interval": session_seconds * 0.3,
        "broker_rebalance_timeout": session_seconds,
        "broker_commit_interval": 1.0,
        # A worker that is replaced under its own name gets its partitions back at once, without a rebalance.
        "consumer_group_instance_id": f"{settings.instance_id}-{spec.role}"
        if traits.static_membership
        else None,
        # An offset that is out of range must not end the process here: the contiguity check names the gap.
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": BLOCK_BYTES_MAX,
        "producer_max_request_size": BLOCK_BYTES_MAX,
        "producer_max_batch_size": 1024 * 1024,
        "producer_request_timeout": 60.0,
        "producer_partitioner": partition_of_key,
        # At-least-once plus our checkpoints is exact; Faust's exactly_once has open faults that lose data.
        "processing_guarantee": "at_least_once",
        # The state lives in our cores. RocksDB counts own sends as read, and skips rows that it never saw.
        "store": "memory://",
        "datadir": str(datadir),
        "table_standby_replicas": 0,
        # A rebalance must not wait for acks, which come with the next checkpoint.
        "stream_wait_empty": False,
        # Blocks are up to 8 MB: the default of 4,096 would be memory without a bound.
        "stream_buffer_maxsize": 64,
        "TableManager": faust_internals.PromptTableManager,
        # A restarted agent would keep the cores and lose its place in the stream.
        "agent_supervisor": mode.CrashingSupervisor,
        # It would bind 0.0.0.0:6066 without a password and serve what the table holds.
        "web_enabled": False,
        # `topics create` makes topics, with their settings; nothing else may.
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "topic_partitions": spec.partitions,
    }


def partition_of_key(key: bytes, partitions: Sequence[int], _available: Sequence[int]) -> int:
    """Where a key goes that has no partition of its own, which is a rollup's: CRC-32, the `consistent` one of librdkafka.

    aiokafka's is murmur2 in Python, tens of microseconds a key: a fifteenth of all that agents did live.
    """
    return partitions[crc32(key) % len(partitions)]


def build_app(
    settings: Settings,
    spec: StateLogSpec,
    traits: BrokerTraits,
    positions: Callable[[], Mapping[int, int]],
    membership_lost: Callable[[], None],
    pulse: Pulse,
) -> Any:
    """A Faust app, not started, without agent and table."""
    app = faust_internals.new_app(spec.group, **app_options(settings, spec, traits))
    app.finalize()
    transport = faust_internals.ExactTransport(app, spec.input_topic, positions, membership_lost, pulse)
    app.transport = app.producer_transport = transport
    patch_faust_highwaters(app)
    return app


def input_topic(app: Any, spec: StateLogSpec) -> Any:
    """The topic of the agent: bytes in, no decoding by Faust (its decode errors are acked and forgotten)."""
    return app.topic(
        spec.input_topic,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=spec.partitions,
        allow_empty=True,
    )
