"""Operator actions on `tokenfuse.commands`, with who and why."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from tokenfuse.contracts.killswitch import Action

TTL_SECONDS_MAX: Final = 31 * 86_400

FACTOR_MAX: Final = 100.0

CommandKind = Literal[
    "engage", "release", "rules", "ack", "silence", "unsilence", "feedback", "announce", "cancel"
]  # fmt: skip
Feedback = Literal["expected", "false_alarm"]


class Command(Struct, frozen=True, kw_only=True):
    """One action. The id makes it idempotent: the same id is the same action, however often it is delivered.

    Attributes:
        at: RFC 3339. by: who, e.g. `alice@cli`.
        scope: for engage, release, silence, announce. fingerprint: for ack and feedback.
        ttl_seconds: mandatory for engage and silence.
        feedback: for feedback: what the alert was.
        factor: for announce: how many times the usual is expected. starts_at, ends_at: RFC 3339, of the change.
        change: for cancel: id of the command that announced it.
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
    feedback: Feedback | None = None
    factor: Annotated[float, Meta(ge=1, le=FACTOR_MAX)] | None = None
    starts_at: str | None = None
    ends_at: str | None = None
    change: str | None = None


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
