"""State of the decider and its checkpoint format: a pure function of the prefix of `tokenfuse.signals`.

Everything here is plain data; indexes and timers are rebuilt from it (DESIGN section 5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal
from zlib import crc32

import msgspec
from msgspec import Struct

from tokenfuse.contracts.alert import AlertState, HeldReason, SwitchRefusal
from tokenfuse.contracts.formats import Readable, UnknownFormatError
from tokenfuse.contracts.killswitch import Action, Mode, Switch
from tokenfuse.contracts.ruleset import RuleSet
from tokenfuse.contracts.signal import Verdict
from tokenfuse.decide.decider.facts import Facts

FORMAT: Final = 2
"""A field that an older decider may forget is added with a default and leaves this as it is. 1: one row, `state`, for all.
2: alerts in rows of their own."""

REST: Final = "state"
ORDER: Final = "order"
ALERTS: Final = "alerts/"
"""Rows of a checkpoint: alerts by one byte of their fingerprint's hash, their order, and all the rest."""

_readable: Final = Readable("decider checkpoint", 1, FORMAT)

if TYPE_CHECKING:
    from collections.abc import Mapping

Resolution = Literal["cleared", "cleared_before_firing", "rule_removed", "held_back"]


class HeldBack(Struct, frozen=True, kw_only=True):
    """Why an alert does not fire; `change`: id of the planned change. `words`: what was expected."""

    reason: HeldReason
    by: str
    until_ms: int
    words: str
    change: str | None = None


class Change(Struct, frozen=True, kw_only=True):
    """A planned change: up to `factor` times the usual is expected of a scope from starts_ms until ends_ms."""

    id: str
    scope: str
    factor: float
    starts_ms: int
    ends_ms: int
    by: str
    reason: str = ""


class Lesson(Struct, kw_only=True):
    """What feedback on one rule and scope has taught. Times are the decider's clock.

    Attributes:
        steps: false alarms that count still. raised_ms: since when the last of them counts.
        episode: level of the breach that was called a false alarm, as long as it stands.
        accepted: level that was called expected; it counts until accepted_until_ms. words: the same for people.
        said_ms: when feedback was given last.
    """

    fingerprint: str
    rule: str
    scope: str
    by: str
    reason: str
    said_ms: int
    steps: int = 0
    raised_ms: int = 0
    episode: float | None = None
    accepted: float | None = None
    accepted_until_ms: int = 0
    words: str = ""


class AlertRecord(Struct, kw_only=True):
    """One alert. Times are milliseconds of the clock of its deltas partition unless they say otherwise.

    Attributes:
        since_ms: when the breach was first heard of; `for` and the group wait count from here.
        starts_ms, at_ms: event times, as on the alerts topic.
        cleared_ms: when the breach ended; None while it stands.
        orphaned_ms: when the alert that explained this one went away; it is promoted some time later.
        fired_ms: when it fired, at most FIRED_MAX, the latest last.
        inhibited_by: fingerprint of the alert that explains this one.
        visible: it has been seen firing without inhibition.
        emitted_ms, emitted_nanousd: clock and excess of the last message.
        acked_ms: the decider's clock when it was acknowledged.
        held: why it does not fire. bar_factor: times its threshold that false alarms have raised the bar to.
    """

    fingerprint: str
    scope: str
    partition: int
    facts: Facts
    evidence: Verdict
    state: AlertState
    since_ms: int
    starts_ms: int
    at_ms: int
    cleared_ms: int | None = None
    resolved_ms: int | None = None
    orphaned_ms: int | None = None
    fired_ms: list[int] = []
    inhibited_by: str | None = None
    visible: bool = False
    acked_by: str | None = None
    silenced_until_ms: int | None = None
    switch_refused: SwitchRefusal | None = None
    resolution: Resolution | None = None
    emitted_ms: int = 0
    emitted_nanousd: int = 0
    acked_ms: int | None = None
    held: HeldBack | None = None
    bar_factor: float = 1.0

    @property
    def breaching(self) -> bool:
        """Whether the breach stands, as far as is known."""
        return self.state != "resolved" and self.cleared_ms is None


class Hold(Struct, frozen=True, kw_only=True):
    """One reason for a switch to be engaged: a rule's alert, or a person. A scope's switch is its strongest hold."""

    owner: str
    scope: dict[str, str]
    action: Action
    mode: Mode
    reason: str
    engaged_ms: int
    expires_ms: int
    engaged_by: str
    rule: str | None = None
    downgrade_to: str | None = None


class State(Struct, kw_only=True):
    """All that the decider remembers.

    Attributes:
        offset: of the last signal applied; -1: none.
        clock_ms: the decider's clock. clocks, watermarks: per deltas partition.
        seen: per deltas partition the last (offset, index).
        command_ids: id to clock, oldest first.
        holds: switch key to owner to hold. published: what the switch topic says now.
        cooldowns: fingerprint to the clock until which its rule may not engage again.
        silences: canonical scope key to clock.
        changes: planned changes by id. lessons: by fingerprint.
    """

    format: int = FORMAT
    offset: int = -1
    clock_ms: int = 0
    heartbeat_ms: int = 0
    clocks: dict[int, int] = {}
    watermarks: dict[int, int] = {}
    seen: dict[int, tuple[int, int]] = {}
    command_ids: dict[str, int] = {}
    ruleset: RuleSet | None = None
    alerts: dict[str, AlertRecord] = {}
    holds: dict[str, dict[str, Hold]] = {}
    published: dict[str, Switch] = {}
    cooldowns: dict[str, int] = {}
    silences: dict[str, int] = {}
    changes: dict[str, Change] = {}
    lessons: dict[str, Lesson] = {}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(State)
_alerts_decoder = msgspec.msgpack.Decoder(list[AlertRecord])
_order_decoder = msgspec.msgpack.Decoder(list[str])


def encode_state(state: State) -> bytes:
    """Bytes of a checkpoint; the same state gives the same bytes."""
    return _encoder.encode(state)


def decode_state(data: bytes) -> State:
    """Inverse of `encode_state`.

    Raises:
        UnknownFormatError: written by a release that this one cannot read.
        msgspec.DecodeError: no msgpack.
    """
    _readable.check(_format_of(data))
    return _decoder.decode(data)


class _Format(Struct):
    format: int


_format = msgspec.msgpack.Decoder(_Format)


def _format_of(data: bytes) -> int:
    """Read first: a newer state need not have the fields of this one."""
    try:
        return _format.decode(data).format
    except msgspec.ValidationError as error:
        raise UnknownFormatError(f"no decider checkpoint ({error})") from error


def encode_rows(state: State) -> dict[str, bytes]:
    """A checkpoint in rows, so that one writes only those that changed; each is far below a message's size."""
    groups: dict[str, list[AlertRecord]] = {}
    for fingerprint, alert in state.alerts.items():
        groups.setdefault(f"{ALERTS}{crc32(fingerprint.encode()) & 0xFF:02x}", []).append(alert)
    rest = encode_state(msgspec.structs.replace(state, alerts={}))
    encoded = {name: _encoder.encode(group) for name, group in groups.items()}
    return {REST: rest, ORDER: _encoder.encode(list(state.alerts)), **encoded}


def decode_rows(rows: Mapping[str, bytes]) -> State:
    """Inverse of `encode_rows`; format 1 had all in one row.

    Raises:
        UnknownFormatError: written by a release that this one cannot read.
        msgspec.DecodeError: no msgpack.
    """
    state = decode_state(rows[REST])
    if ORDER in rows:
        groups = (_alerts_decoder.decode(data) for name, data in rows.items() if name.startswith(ALERTS))
        known = {alert.fingerprint: alert for group in groups for alert in group}
        state.alerts = {each: known[each] for each in _order_decoder.decode(rows[ORDER])}
    return state
