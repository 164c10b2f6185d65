"""The slow path: why a message is no canonical event, as reason, field path and one sentence.

The public pydantic model finds the field; msgspec's own error has no stable code to key on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tokenfuse.contracts.deadletter import Reason
from tokenfuse.contracts.public.event import CostEvent as PublicCostEvent
from tokenfuse.ingest.fault import RefusedError

REQUIRED: Final = frozenset({"id", "time", "tenant", "feature", "model", "input_tokens", "output_tokens"})
REQUIRED_TO_RECOGNISE: Final = 3
"""An object with this many of the required fields was meant as a canonical event; with fewer its format is unknown."""

_REASONS: Final = {
    "missing": Reason.MISSING_FIELD,
    "greater_than_equal": Reason.OUT_OF_RANGE,
    "less_than_equal": Reason.OUT_OF_RANGE,
    "string_too_short": Reason.OUT_OF_RANGE,
    "string_too_long": Reason.OUT_OF_RANGE,
    "too_long": Reason.OUT_OF_RANGE,
    "literal_error": Reason.OUT_OF_RANGE,
    "finite_number": Reason.NOT_FINITE,
    **{reason.value: reason for reason in Reason},
}


def malformed(value: bytes, error: Exception) -> RefusedError:
    """Fault of bytes that are not JSON by the strict grammar."""
    try:
        value.decode()
    except UnicodeDecodeError as utf8:
        return RefusedError(Reason.INVALID_UTF8, "", f"byte {utf8.start} is not UTF-8: {utf8.reason}")
    if isinstance(error, RecursionError):
        return RefusedError(Reason.MALFORMED_JSON, "", "nested too deeply")
    path = _path_of_constant(value)
    if path is not None:
        return RefusedError(
            Reason.NOT_FINITE, path, "NaN and Infinity are no JSON; send null where nothing is known"
        )
    return RefusedError(Reason.MALFORMED_JSON, "", str(error))


def explain(record: Mapping[str, Any]) -> RefusedError:
    """Fault of an object that was meant as a canonical event, or of one whose format nobody knows."""
    if len(REQUIRED & record.keys()) < REQUIRED_TO_RECOGNISE:
        names = ", ".join(sorted(map(str, record))[:8])
        detail = f"neither a canonical event nor a known vendor format; its fields: {names or 'none'}"
        return RefusedError(Reason.UNKNOWN_FORMAT, "", detail)
    try:
        PublicCostEvent.model_validate(record)
    except ValidationError as error:
        return _fault(error.errors(include_url=False, include_input=False)[0])
    # Both contracts are held equal by a property test; should they differ after all, say so instead of guessing.
    return RefusedError(
        Reason.INTERNAL_ERROR, "", "the event is valid by its schema but was refused: please report it"
    )


def _fault(error: ErrorDetails) -> RefusedError:
    reason = _REASONS.get(error["type"], Reason.WRONG_TYPE)
    path = ".".join(map(str, _field_path(error)))
    return RefusedError(reason, path, error["msg"])


def _field_path(error: ErrorDetails) -> list[str | int]:
    path = list(error["loc"])
    if path[:1] == ["time"] or path[:2] == ["replaces", "time"]:
        path = path[: path.index("time") + 1]  # what follows names a branch of the union
    field = error.get("ctx", {}).get("field")
    return [*path, field] if field else path


def _path_of_constant(value: bytes) -> str | None:
    """Path of the first NaN or Infinity; None where the text is broken in another way."""
    marker = object()
    try:
        return _find(json.loads(value, parse_constant=lambda _: marker), marker)
    except (ValueError, RecursionError):
        return None


def _find(node: Any, marker: object) -> str | None:
    if node is marker:
        return ""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in pairs:
        path = _find(child, marker)
        if path is not None:
            return f"{key}.{path}".rstrip(".") if isinstance(key, str) else f"[{key}].{path}".rstrip(".")
    return None
