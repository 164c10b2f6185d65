"""Versions of what is written: a newer release reads the older ones, an older one refuses the newer ones by name.

A format's number grows when an older reader would read wrongly, and only then: a field that older readers may ignore
is added at the end, with a default. Measures are appended, so what an older release wrote has fewer columns, and the
reader fills them up with zeros (`windows.codec.widened`).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class UnknownFormatError(ValueError):
    """Written by a release that this one cannot read; the message says which release can."""


class Readable(NamedTuple):
    """The formats of one kind of message or row that this release reads; `newest` is the one that it writes."""

    what: str
    oldest: int
    newest: int

    def check(self, found: int) -> None:
        """Nothing, where this release reads the format.

        Raises:
            UnknownFormatError: it does not.
        """
        if self.oldest <= found <= self.newest:
            return
        reads = f"{self.oldest} to {self.newest}" if self.oldest < self.newest else str(self.newest)
        remedy = (
            "run the release that wrote it, or a later one: nothing is lost meanwhile"
            if found > self.newest
            else "run the release before this one once more, until it has read it"
        )
        raise UnknownFormatError(f"{self.what} of format {found}, this release reads {reads}: {remedy}")

    def refuse(self, message: bytes, place: int, error: msgspec.ValidationError) -> UnknownFormatError:
        """Why a message of the right encoding (a msgpack array) does not fit: by its format where it says one.

        Args:
            place: index of the format in the array.
            error: what the decoder said, for messages that claim a format that this release reads.
        """
        try:
            fields = msgspec.msgpack.decode(message)
        except (RecursionError, UnicodeDecodeError):  # nobody's message
            fields = None
        found = fields[place] if isinstance(fields, list) and len(fields) > place else None
        if isinstance(found, int):
            try:
                self.check(found)
            except UnknownFormatError as refusal:
                return refusal
        return UnknownFormatError(
            f"{self.what} that this release does not know ({error}): run the release that wrote it, or a later one"
        )
