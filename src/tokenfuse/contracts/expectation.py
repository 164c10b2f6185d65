"""Expectations on `tokenfuse.expectations`: what people said is to be expected, as it stands. The decider writes them.

Key: the id of a planned change, or the fingerprint of the alert that feedback was given on. No value: it is over.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct


class Expectation(Struct, frozen=True, kw_only=True):
    """One planned change, or what feedback on one rule and scope has taught so far.

    Attributes:
        kind: `change` or `feedback`.
        scope: axis to value; {} is everything.
        by, reason: who said it, and why; of feedback the latest.
        starts_at, ends_at: RFC 3339; feedback ends by itself, too.
        factor: change: times the usual that is expected; feedback: times its threshold that the bar is raised to.
        rule: that feedback was given on.
        accepted: the level that was called expected, in words.
    """

    id: str
    kind: Literal["change", "feedback"]
    scope: dict[str, str]
    by: str
    reason: str
    starts_at: str
    ends_at: str
    factor: float
    generation: int
    rule: str | None = None
    accepted: str | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Expectation)


def encode_expectation(expectation: Expectation) -> bytes:
    """Value of one message on `tokenfuse.expectations`."""
    return _encoder.encode(expectation)


def decode_expectation(data: bytes) -> Expectation:
    """Inverse of `encode_expectation`.

    Raises:
        msgspec.DecodeError: not an expectation.
    """
    return _decoder.decode(data)
