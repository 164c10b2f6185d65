"""Why a message cannot be counted."""

from __future__ import annotations

from msgspec import Struct

from tokenfuse.contracts.deadletter import Reason

DETAIL_CHARS_MAX = 300


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
        self.fault = DeadLetterFault(reason, path, detail[:DETAIL_CHARS_MAX])

    def inside(self, prefix: str) -> RefusedError:
        """The same fault seen from the enclosing document."""
        joint = "" if not self.fault.path or self.fault.path.startswith("[") else "."
        return RefusedError(self.fault.reason, f"{prefix}{joint}{self.fault.path}", self.fault.detail)
