"""SwitchView: the engaged switches as a pure function of the records of `tokenfuse.killswitch`.

A record is dropped unless its generation is newer than what its key has seen, so replays, duplicates and a writer that
woke up late change nothing. One thread applies, any number ask: what they read is replaced, never edited in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from operator import itemgetter
from typing import Any, Final

import msgspec
from msgspec import Struct

from tokenfuse.contracts.axes import VALUE_CHARS_MAX, bounded
from tokenfuse.contracts.clock import from_rfc3339
from tokenfuse.contracts.killswitch import (
    GENERATION_HEADER,
    HEARTBEAT,
    Heartbeat,
    Switch,
    decode_heartbeat,
    decode_switch,
    switch_key,
)
from tokenfuse.contracts.scope import scope_key
from tokenfuse.gateway.decision import Decision, decided_alone

ACTIONS: Final = ("warn", "downgrade", "throttle", "block")
"""Weakest first, for one call that several switches match: a throttle that lets it through leaves the downgrade."""

TOMBSTONES_MAX: Final = 100_000
"""Generations of released switches that are remembered; the oldest are forgotten first."""


Headers = Sequence[tuple[str, bytes]]


class Outcome(StrEnum):
    """What became of a record."""

    ENGAGED = "engaged"
    RELEASED = "released"
    HEARTBEAT = "heartbeat"
    NOT_NEWER = "not_newer"
    """Normal: read again, delivered twice, or written by a decider that had been replaced."""

    MALFORMED = "malformed"
    """Not what the contract says; the switch that the key had stays as it was."""


class Entry(Struct, frozen=True):
    """An engaged switch, with its end in milliseconds since the epoch, and what it decides where it alone matches."""

    switch: Switch
    key: str
    expires_ms: int
    alone: Decision | None = None


Table = dict[Any, Entry]


class SwitchView:
    """Engaged switches, indexed by the axes that they name.

    Attributes:
        counts: records by outcome.
        last_fault: the last malformed record, in words.
    """

    def __init__(self) -> None:
        self.counts: Counter[Outcome] = Counter()
        self.last_fault = ""
        self._entries: dict[str, Entry] = {}
        self._generations: dict[str, int] = {}
        # By the sorted names of a switch's axes: value of the one axis, or tuple of their values, to entry.
        self._index: dict[tuple[str, ...], Table] = {}
        self._single: tuple[tuple[str, Table], ...] = ()
        self._other: tuple[tuple[Callable[[Mapping[str, Any]], Any], Table], ...] = ()

    def apply(self, key: bytes | None, value: bytes | None, headers: Headers) -> Outcome:
        """Take one record of the topic; never raises for what is in it."""
        try:
            outcome = self._apply((key or b"").decode(), value, headers)
        except (ValueError, msgspec.DecodeError) as error:
            outcome = Outcome.MALFORMED
            self.last_fault = f"key {key!r}: {error}"
        self.counts[outcome] += 1
        return outcome

    def find(self, axes: Mapping[str, Any], now_ms: int) -> Sequence[Entry]:
        """Switches in force that select a call; shadow ones too. An axis that is None or missing matches nothing.

        Args:
            axes: axis to value, as the call's cost event will say; values that are no strings count as their text.
        """
        if not self._entries:
            return ()
        axes = _as_counted(axes)
        found: list[Entry] = []
        get = axes.get
        for axis, table in self._single:
            entry = table.get(get(axis))
            if entry is not None and entry.expires_ms > now_ms:
                found.append(entry)
        for values_of, table in self._other:
            try:
                entry = table.get(values_of(axes))
            except KeyError:  # the call lacks an axis
                continue
            if entry is not None and entry.expires_ms > now_ms:
                found.append(entry)
        return found

    def switches(self, now_ms: int) -> list[Switch]:
        """Switches in force, by key."""
        entries = self._entries.copy()
        return [entries[key].switch for key in sorted(entries) if entries[key].expires_ms > now_ms]

    def generation(self, key: str) -> int | None:
        """The newest generation seen under a message key."""
        return self._generations.get(key)

    def _apply(self, key: str, value: bytes | None, headers: Headers) -> Outcome:
        generation = _generation(headers)
        if key == HEARTBEAT:
            return self._beat(value, generation)
        if value is None:
            return self._release(key, generation)
        switch = decode_switch(value)
        if switch_key(scope_key(switch.scope)) != key:
            raise ValueError("the key is not the canonical scope of the switch")
        entry = Entry(switch, key, from_rfc3339(switch.expires_at), decided_alone(switch))
        if not self._is_newer(key, switch.generation if generation is None else generation):
            return Outcome.NOT_NEWER
        self._put(entry)
        return Outcome.ENGAGED

    def _beat(self, value: bytes | None, generation: int | None) -> Outcome:
        beat: Heartbeat = decode_heartbeat(value or b"")
        said = beat.generation if generation is None else generation
        # The same generation again is a sign of life: the decider lives although nothing happens.
        if said < self._generations.get(HEARTBEAT, said):
            return Outcome.NOT_NEWER
        self._generations[HEARTBEAT] = said
        return Outcome.HEARTBEAT

    def _release(self, key: str, generation: int | None) -> Outcome:
        if generation is None:
            # A person with a Kafka tool. Compaction would keep this and nothing else, so it counts as that: whatever
            # the decider says next is news, even if it says again what it said before.
            self._generations.pop(key, None)
        elif not self._is_newer(key, generation):
            return Outcome.NOT_NEWER
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._take_out(entry)
        self._forget_oldest()
        return Outcome.RELEASED

    def _is_newer(self, key: str, generation: int) -> bool:
        """Whether a record counts; notes its generation, most recent last."""
        known = self._generations.pop(key, None)
        self._generations[key] = generation if known is None else max(known, generation)
        return known is None or generation > known

    def _forget_oldest(self) -> None:
        if len(self._generations) > len(self._entries) + 2 * TOMBSTONES_MAX:
            gone = [key for key in self._generations if key not in self._entries and key != HEARTBEAT]
            for key in gone[:TOMBSTONES_MAX]:
                del self._generations[key]

    def _put(self, entry: Entry) -> None:
        names, values = _place(entry.switch)
        self._entries[entry.key] = entry
        if names in self._index:
            self._index[names][values] = entry
        else:
            self._index[names] = {values: entry}
            self._list_tables()

    def _take_out(self, entry: Entry) -> None:
        names, values = _place(entry.switch)
        del self._index[names][values]
        if not self._index[names]:
            del self._index[names]
            self._list_tables()

    def _list_tables(self) -> None:
        """What `find` walks: replaced whole, since other threads may be walking it."""
        self._single = tuple((names[0], table) for names, table in self._index.items() if len(names) == 1)
        self._other = tuple(
            # A scope without axes is everything: its tuple of values is empty. `itemgetter` is six times a loop.
            (itemgetter(*names) if names else lambda _axes: (), table)
            for names, table in self._index.items()
            if len(names) != 1
        )


def _place(switch: Switch) -> tuple[tuple[str, ...], Any]:
    """Sorted names of the axes, and what their table is asked for."""
    names = tuple(sorted(switch.scope))
    values = tuple(switch.scope[name] for name in names)
    return names, values[0] if len(values) == 1 else values


def _generation(headers: Headers) -> int | None:
    for name, value in headers:
        if name == GENERATION_HEADER:
            return int(value)
    return None


def _as_counted(axes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Values as the call's event will be counted under: text of bounded length."""
    try:
        # One call into C for the ordinary case, a handful of short strings; anything else raises TypeError.
        if len("".join(axes.values())) <= VALUE_CHARS_MAX:
            return axes
    except TypeError:
        pass
    return {axis: bounded(str(each)) for axis, each in axes.items() if each is not None}
