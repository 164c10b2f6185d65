"""From pydantic's errors to sentences: what is wrong, where, and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tokenfuse.rules.errors import Problem
from tokenfuse.rules.schema import KINDS
from tokenfuse.rules.source import Source


def problems(error: ValidationError, source: Source, models: tuple[type[BaseModel], ...]) -> list[Problem]:
    """One problem per mistake; `models` tell which fields exist and what they mean."""
    fields = _fields(models)
    return [Problem(source.path, source.line(e["loc"]), _sentence(e, fields)) for e in error.errors()]


def _fields(models: tuple[type[BaseModel], ...]) -> dict[str, str]:
    """Field name as written in files to its description."""
    return {
        field.alias or name: field.description or ""
        for model in models
        for name, field in model.model_fields.items()
    }


def _sentence(error: ErrorDetails, fields: Mapping[str, str]) -> str:
    name = next((str(part) for part in reversed(error["loc"]) if isinstance(part, str)), "the file")
    context, value = error.get("ctx", {}), error["input"]
    match error["type"]:
        case "missing":
            return f"{name} is missing: {fields.get(name, '')}".rstrip(": ")
        case "extra_forbidden":
            return f"unknown field {name}: {_nearest(name, fields)}"
        case "union_tag_not_found":
            return f"kind is missing: one of {', '.join(KINDS)}"
        case "union_tag_invalid":
            return f"kind: expected {context['expected_tags']}, got {context['tag']!r}"
        case "literal_error":
            return f"{name}: expected {context['expected']}, got {value!r}"
        case "value_error":
            text = str(context["error"])
            return text if isinstance(value, dict) else f"{name}: {text}"
        case kind if kind in _PLAIN:
            return f"{name}: expected {_PLAIN[kind]}, got {_shown(value)}"
    return f"{name}: {error['msg'][:1].lower()}{error['msg'][1:]}, got {_shown(value)}"


_PLAIN: Final = {
    "string_type": "text (in quotes if it looks like a number or a yes/no)",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "a mapping of fields",
    "model_attributes_type": "a mapping of fields",
    "dict_type": "a mapping of fields",
}


def _nearest(name: str, fields: Mapping[str, str]) -> str:
    near = get_close_matches(name, fields, n=1)
    return f"did you mean {near[0]}?" if near else "see `tokenfuse schema rule` for the fields"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
