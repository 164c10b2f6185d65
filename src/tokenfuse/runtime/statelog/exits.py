"""Why a worker ended itself. Where state could be wrong there is no clean-up: the next start reads what is durable."""

from __future__ import annotations

import os
import sys
from enum import Enum
from typing import Any, NoReturn

import structlog


class ExitReason(Enum):
    """Name in the log, exit code of the process, what the operator should know."""

    CORE_FAILED = (70, "the state could not take a message: report it with the offset below")
    OUTPUT_FAILED = (71, "a message could not be produced: see the broker's error below")
    CHECKPOINT_FAILED = (72, "a checkpoint could not be written: see the broker's error below")
    CHECKPOINT_TOO_LARGE = (
        73,
        "a row is larger than the topics take: lower TOKENFUSE_SCOPES_PER_AXIS_MAX",
    )
    CHECKPOINT_INCOMPLETE = (
        74,
        "no whole checkpoint was read back: restarts read again; if it stays, see docs/adr/0003",
    )
    INPUT_GAP = (75, "messages between the checkpoint and the log are missing: if it stays, they expired")
    RECOVERY_FAILED = (76, "the checkpoint could not be restored")
    RECOVERY_STALLED = (77, "recovery made no progress")
    CHECKPOINT_STALLED = (78, "input was applied, but no checkpoint followed")
    INPUT_STALLED = (79, "the input log grows, but nothing of it arrives")
    SUSPENDED = (
        80,
        "this process stood still longer than the broker waits for it: its partitions may have a new owner",
    )
    MEMBERSHIP_LOST = (
        83,
        "the group no longer knows this worker: it was silent for too long, or TOKENFUSE_INSTANCE_ID lives twice",
    )
    GROUP_FAILED = (84, "the broker does not let this worker into its consumer group: see its error below")
    INPUT_RECREATED = (
        85,
        "the input log is shorter than the checkpoint says: see 'Backup and restore' in docs/operations.md",
    )
    FAUST_CRASHED = (81, "Faust gave up: see its error above")
    UNKNOWN_FORMAT = (
        82,
        "written by a release that this one cannot read: see the error below for the release to run",
    )

    @property
    def code(self) -> int:
        """Exit code of the process."""
        return self.value[0]

    @property
    def advice(self) -> str:
        """One sentence for the operator."""
        return self.value[1]


def die(reason: ExitReason, **context: Any) -> NoReturn:
    """End the process now, without clean-up: whatever is in memory must not be written any more.

    Nothing here may wait: a graceful stop would flush the producer and commit offsets of a state that could be wrong.
    """
    structlog.get_logger(__name__).critical(
        "worker exits", reason=reason.name.lower(), code=reason.code, advice=reason.advice, **context
    )
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(reason.code)
