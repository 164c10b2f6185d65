"""Kill switches on `tokenfuse.killswitch`: key = canonical scope, engage = value, release = tombstone.

The topic has one partition and is compacted; a gateway reads it from the beginning at every start (DESIGN section 9).
The key HEARTBEAT carries no switch: it says that the decider is alive, and since when its clock stands where.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct

Action = Literal["warn", "downgrade", "throttle", "block"]
Mode = Literal["shadow", "enforce"]

HEARTBEAT: Final = "~heartbeat"
GENERATION_HEADER: Final = "generation"
"""Header of values and tombstones alike: the offset of the decider's input log; readers drop what is not newer."""

PREFIX_ALL: Final = "~all"
"""Key of the scope {} (everything): Kafka's compaction needs a non-empty key to be readable in tools."""


class Switch(Struct, frozen=True, kw_only=True):
    """One engaged switch. Times are RFC 3339; a gateway ignores it after `expires_at` whatever the topic says."""

    scope: dict[str, str]
    action: Action
    mode: Mode
    reason: str
    engaged_at: str
    expires_at: str
    engaged_by: str  # a rule's id, or who gave the command
    generation: int
    rule: str | None = None
    fingerprint: str | None = None
    downgrade_to: str | None = None  # model name, for action downgrade


class Heartbeat(Struct, frozen=True, kw_only=True):
    """The decider's sign of life, at most one every 5 s of its clock."""

    at: str
    generation: int


_encoder = msgspec.json.Encoder()
_switch = msgspec.json.Decoder(Switch)
_heartbeat = msgspec.json.Decoder(Heartbeat)


def encode_switch(value: Switch | Heartbeat) -> bytes:
    """Value of one message on `tokenfuse.killswitch`."""
    return _encoder.encode(value)


def decode_switch(data: bytes) -> Switch:
    """Inverse of `encode_switch` for an engaged switch.

    Raises:
        msgspec.DecodeError: not a switch.
    """
    return _switch.decode(data)


def decode_heartbeat(data: bytes) -> Heartbeat:
    """Inverse of `encode_switch` for the record under HEARTBEAT.

    Raises:
        msgspec.DecodeError: not a heartbeat.
    """
    return _heartbeat.decode(data)


def switch_key(scope_key: str) -> str:
    """Message key of a switch on a scope."""
    return scope_key or PREFIX_ALL
