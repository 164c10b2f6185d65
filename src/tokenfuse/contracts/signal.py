"""Signals on `tokenfuse.signals`: the decider's one input log.

Agents write verdict changes and clocks, the command forwarder writes commands. A reader drops a signal from deltas
partition q whose (offset, index) it has passed, so a replayed block may say everything twice.

No format number: a field is only ever added with a default, and readers ignore what they do not know. What an older
decider must not ignore is a new kind of signal, which it refuses by its tag.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from tokenfuse.contracts.command import Command
from tokenfuse.contracts.formats import UnknownFormatError

VerdictState = Literal["breach", "update", "clear"]


class CostChange(Struct, frozen=True):
    """What a scope spent in a window of event time, and what it usually spends in as long a time.

    The drivers of the same verdict add up to `spent_nanousd - usual_nanousd`.
    """

    starts_ms: int
    ends_ms: int
    spent_nanousd: int
    usual_nanousd: int


class DriverPart(Struct, frozen=True):
    """One part of the change of cost; the parts of a list add up to the change."""

    driver: str
    nanousd: int


class Contributor(Struct, frozen=True):
    """An axis value and its part of the excess. `share` is of the excess of the scope, 0 to 1."""

    axis: str
    value: str
    nanousd: int
    share: float


class Outlook(Struct, frozen=True):
    """What a budget's period will come to at its end, and between what it lies four times of five."""

    nanousd: int
    low_nanousd: int
    high_nanousd: int
    ends_ms: int


class Verdict(Struct, frozen=True, kw_only=True, tag="verdict"):
    """What one rule says of one scope, written when it changes and once a minute while it stands.

    Attributes:
        partition, offset, index: where in the deltas log it was taken, and which of that block's signals it is.
        scope: canonical scope key.
        at_ms: event time of this verdict. starts_ms: event time at which the breach began.
        value, threshold: in the rule's own unit (nano-dollars for caps and spikes, else a ratio or a mean).
        excess_nanousd: dollars above normal (caps: above the cap) since starts_ms.
        examples: ids of the dearest calls, at most 5.
    """

    partition: int
    offset: int
    index: int
    rule: str
    scope: str
    state: VerdictState
    at_ms: int
    starts_ms: int
    value: float
    threshold: float
    driver: str
    excess_nanousd: int = 0
    excess_nanousd_per_hour: int = 0
    drivers: tuple[DriverPart, ...] = ()
    contributors: tuple[Contributor, ...] = ()
    examples: tuple[str, ...] = ()
    until_ms: int | None = None  # end of a calendar window: the latest moment a switch may stand
    exhausted_ms: int | None = None  # when a budget will be gone, or when it was found gone
    outlook: Outlook | None = None  # of a month with a budget
    cost_change: CostChange | None = None  # that the drivers add up to


class Clock(Struct, frozen=True, kw_only=True, tag="clock"):
    """Time as one deltas partition knows it; at most one a second."""

    partition: int
    offset: int
    index: int
    watermark_ms: int
    now_ms: int


class CommandSignal(Struct, frozen=True, kw_only=True, tag="command"):
    """An operator's command, forwarded from `tokenfuse.commands`; `command.id` makes it unique."""

    command: Command


Signal = Verdict | Clock | CommandSignal

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Signal)


def encode_signal(signal: Signal) -> bytes:
    """Bytes of one message on `tokenfuse.signals`."""
    return _encoder.encode(signal)


def decode_signal(data: bytes) -> Signal:
    """Inverse of `encode_signal`.

    Raises:
        UnknownFormatError: JSON, but no signal that this release knows.
        msgspec.DecodeError: not JSON.
    """
    try:
        signal: Signal = _decoder.decode(data)
    except msgspec.ValidationError as error:
        raise UnknownFormatError(
            f"signal that this release does not know ({error}): run the release that wrote it, or a later one"
        ) from error
    return signal
