"""Operator actions on `tokenfuse.commands`, with who and why."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from tokenfuse.contracts.killswitch import Action

TTL_SECONDS_MAX: Final = 31 * 86_400

CommandKind = Literal["engage", "release", "rules", "ack", "silence", "unsilence"]


class Command(Struct, frozen=True, kw_only=True):
    """One action. The id makes it idempotent: the same id is the same action, however often it is delivered.

    Attributes:
        at: RFC 3339. by: who, e.g. `alice@cli`.
        scope: for engage, release, silence. fingerprint: for ack.
        ttl_seconds: mandatory for engage and silence.
        ruleset: for rules: the compiled rule set, JSON of `contracts.ruleset.RuleSet`.
    """

    id: Annotated[str, Meta(min_length=1, max_length=128)]
    kind: CommandKind
    at: str
    by: Annotated[str, Meta(min_length=1, max_length=256)]
    reason: Annotated[str, Meta(max_length=1000)] = ""
    scope: dict[str, str] | None = None
    fingerprint: str | None = None
    action: Action | None = None
    ttl_seconds: Annotated[int, Meta(ge=1, le=TTL_SECONDS_MAX)] | None = None
    ruleset: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # with None instead, msgspec reads null only


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Command)


def encode_command(command: Command) -> bytes:
    """Bytes of one message on `tokenfuse.commands`."""
    return _encoder.encode(command)


def decode_command(data: bytes) -> Command:
    """Inverse of `encode_command`.

    Raises:
        msgspec.DecodeError: not a command.
    """
    return _decoder.decode(data)
