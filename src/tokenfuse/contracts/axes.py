"""The axes along which money is attributed, and how a scope's value is bounded."""

from __future__ import annotations

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

OTHER: Final = "~other"
"""The scope into which values beyond an axis's bound fold: detail is lost, money is not."""

VALUE_CHARS_MAX: Final = 256
"""Longest scope value kept as it is; a longer one becomes its first 200 characters, `~` and a hash."""
