"""The axes along which money is attributed, and how a scope's value is bounded."""

from __future__ import annotations

import hashlib
from typing import Final

CELL_AXES: Final = ("tenant", "feature", "model", "prompt_template")
"""A cell is one combination of these; every scope on them is the sum of its cells."""

AXES: Final = (*CELL_AXES, "user", "run_id")
"""The six axes that are always scopes. Settings may name up to six more (`FURTHER_AXES`)."""

FURTHER_AXES: Final = (
    "session_id",
    "project",
    "task_type",
    "technical_owner",
    "data_class",
    "prompt_version",
    "application",
    "owner",
    "team",
    "environment",
    "region",
    "cost_center",
    "business_process",
    "request_type",
    "provider",
)
"""Attribution fields of CostEvent that settings may make scopes; `labels.<name>` is allowed too."""

FURTHER_AXES_MAX: Final = 6

CELL: Final = "cell"
"""Pseudo-axis of blocks and state: its values are canonical scope keys over CELL_AXES."""

GLOBAL: Final = "global"
"""Pseudo-axis of the one scope that is everything; its value is the empty string."""

JOINT: Final = "+"
"""Joins cell axes into one: `tenant+feature` has a scope for every tenant's every feature."""

OTHER: Final = "~other"
"""The scope into which values beyond an axis's bound fold: detail is lost, money is not."""

VALUE_CHARS_MAX: Final = 256
"""Longest scope value kept as it is; a longer one becomes its first VALUE_CHARS_KEPT, `~` and a hash."""

VALUE_CHARS_KEPT: Final = 200


def bounded(value: str) -> str:
    """A scope value of at most VALUE_CHARS_MAX characters: a longer one is cut, `~` and a hash keep it distinct.

    Ingest and gateways must agree, or a switch on a long name would match no call.
    """
    if len(value) <= VALUE_CHARS_MAX:
        return value
    digest = hashlib.blake2b(value.encode(errors="surrogatepass"), digest_size=8).hexdigest()
    return f"{value[:VALUE_CHARS_KEPT]}~{digest}"
