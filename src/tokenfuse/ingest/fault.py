"""Why a message cannot be counted."""

from __future__ import annotations

from msgspec import Struct

from tokenfuse.contracts.deadletter import Reason

DETAIL_CHARS_MAX = 300
PATH_CHARS_MAX = 300
"""Paths hold names that a producer chose, and go out in a header: a long one must not make the letter too large."""


class DeadLetterFault(Struct, frozen=True):
    """One refused message.

    Attributes:
        path: field path, e.g. `input_tokens`, `labels.team` or `[3].response_cost`; empty: the whole message.
        detail: one sentence for a person; never the whole record.
    """

    reason: Reason
    path: str
    detail: str


class RefusedError(Exception):
    """Carries the fault from where it is found to the border of the decoder, and no further."""

    def __init__(self, reason: Reason, path: str, detail: str) -> None:
        super().__init__(f"{reason}: {path}: {detail}")
        self.fault = DeadLetterFault(
            reason, _printable(path, PATH_CHARS_MAX), _printable(detail, DETAIL_CHARS_MAX)
        )

    def inside(self, prefix: str) -> RefusedError:
        """The same fault seen from the enclosing document."""
        joint = "" if not self.fault.path or self.fault.path.startswith("[") else "."
        return RefusedError(self.fault.reason, f"{prefix}{joint}{self.fault.path}", self.fault.detail)


def _printable(text: str, chars_max: int) -> str:
    """Text that can be encoded: JSON may spell half of a surrogate pair, which is no UTF-8."""
    return text[:chars_max].encode(errors="backslashreplace").decode()
