"""Which fields the events of a stream have: a struct of just those decodes faster than one of all sixty.

The fields are learned from the messages, in the order in which they are written, which is the order in which msgspec
looks for them. The narrow struct refuses every other field: what it takes has the default in each field that it lacks,
and no text of it was skipped. What it refuses is decoded with all fields. Either way the values are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_type_hints

import msgspec

from tokenfuse.contracts.event import CostEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WAIT_MAX: Final = 256
"""Chunks decoded with all fields, at most, before the narrow struct is tried again: it may refuse one message of each."""

_HINTS: Final = get_type_hints(CostEvent, include_extras=True)
_FIELDS: Final = {field.name: field for field in msgspec.structs.fields(CostEvent)}
_REQUIRED: Final = tuple(name for name, field in _FIELDS.items() if field.required)
_keys: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _definition(name: str) -> tuple[str, Any] | tuple[str, Any, Any]:
    field = _FIELDS[name]
    return (name, _HINTS[name]) if field.required else (name, _HINTS[name], field.default)


class Shape:
    """A struct with some fields of `CostEvent` and no `__post_init__`: what that checks is checked for whole columns.

    Attributes:
        names: its fields.
        decode: the event of one message, with `msgspec.structs.astuple` its fields in this order.
    """

    def __init__(self, names: Sequence[str], *, strict: bool) -> None:
        self.names = tuple(names)
        struct = msgspec.defstruct(
            "Narrow", map(_definition, names), kw_only=True, gc=False, forbid_unknown_fields=strict
        )
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(struct).decode


EVERYTHING: Final = Shape(tuple(_FIELDS), strict=False)


def _with_all_fields(values: Sequence[bytes]) -> tuple[Shape, list[Any]]:
    if not all(map(bytes.isascii, values)):
        raise UnicodeError
    return EVERYTHING, list(map(EVERYTHING.decode, values))


class Shapes:
    """The shape of the messages so far."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._shape = EVERYTHING
        self._wait = self._wait_next = 0

    def decoded(self, values: Sequence[bytes]) -> tuple[Shape, list[Any]]:
        """The events of some messages, and their shape.

        Raises:
            msgspec.DecodeError: one of them is no plain canonical event.
            UnicodeError: one of them must be looked at for itself: msgspec does not look at the text that it skips.
        """
        if self._wait:
            self._wait -= 1
            return _with_all_fields(values)
        if self._names:
            try:
                events = list(map(self._shape.decode, values))
            except (msgspec.DecodeError, RecursionError):
                pass
            else:
                self._wait_next = 0
                return self._shape, events
        if not self._learned(values):
            self._wait = self._wait_next = min(2 * self._wait_next + 1, WAIT_MAX)
        return _with_all_fields(values)

    def _learned(self, values: Sequence[bytes]) -> bool:
        """Whether these messages have fields that were not known, which now are."""
        known = len(self._names)
        for value in values:
            try:
                keys = list(_keys(value))
            except (msgspec.DecodeError, RecursionError):
                continue
            self._know([key for key in keys if key in _FIELDS])
        if known == len(self._names):
            return False
        missing = [name for name in _REQUIRED if name not in self._names]
        self._shape = Shape((*self._names, *missing), strict=True)
        return True

    def _know(self, keys: Sequence[str]) -> None:
        """Each new field behind the one that it was written behind."""
        place = 0
        for key in keys:
            if key not in self._names:
                self._names.insert(place, key)
            place = self._names.index(key) + 1
