"""Who and what for: the canonical attribution fields among a vendor's metadata and tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from tokenfuse.contracts.axes import CELL_AXES, FURTHER_AXES

TEXT_FIELDS: Final = frozenset({
    *(axis for axis in (*CELL_AXES, *FURTHER_AXES) if axis not in ("model", "provider")),
    "user", "run_id", "parent_run_id", "outcome", "trace_id", "span_id", "tool_signature",
})  # fmt: skip
COUNT_FIELDS: Final = frozenset({"step", "depth", "context_tokens"})


def from_metadata(metadata: Any) -> dict[str, Any]:
    """Attribution fields of one object; numbers become text, empty and structured values count as not said."""
    if not isinstance(metadata, Mapping):
        return {}
    said: dict[str, Any] = {name: text(metadata[name]) for name in metadata.keys() & TEXT_FIELDS}
    said |= {name: metadata[name] for name in metadata.keys() & COUNT_FIELDS if _is_count(metadata[name])}
    labels = metadata.get("labels")
    if isinstance(labels, Mapping):
        said["labels"] = {str(key): value for key, value in labels.items() if isinstance(value, str)}
    return {name: value for name, value in said.items() if value is not None}


def from_tags(tags: Any) -> dict[str, str]:
    """Attribution fields of tags like `feature:chat`; the first tag of a name counts."""
    said: dict[str, str] = {}
    for tag in tags if isinstance(tags, list) else ():
        name, colon, value = tag.partition(":") if isinstance(tag, str) else ("", "", "")
        if colon and name in TEXT_FIELDS and value.strip():
            said.setdefault(name, value.strip())
    return said


def first(sources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Every field from the first source that says it."""
    merged: dict[str, Any] = {}
    for source in sources:
        merged = {**source, **merged}
    return merged


def text(value: Any) -> str | None:
    """A non-empty text, or a number as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        return None
    return str(value) or None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
