"""Brokers: the embedded one as a managed child process, and what each kind of broker can and cannot do."""

from __future__ import annotations

from tokenfuse.runtime.broker.embedded import (
    BrokerRunningError,
    EmbeddedBroker,
    EmbeddedBrokerError,
    find_embedded,
)
from tokenfuse.runtime.broker.quirks import (
    BrokerTraits,
    broker_traits,
    end_offsets,
    patch_faust_highwaters,
    probe_traits,
)

__all__ = [
    "BrokerRunningError",
    "BrokerTraits",
    "EmbeddedBroker",
    "EmbeddedBrokerError",
    "broker_traits",
    "end_offsets",
    "find_embedded",
    "patch_faust_highwaters",
    "probe_traits",
]
