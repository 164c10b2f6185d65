"""`tokenfuse schema NAME`: the JSON Schemas of everything that crosses a border."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class SchemaName(StrEnum):
    """What has a published schema."""

    event = "event"
    alert = "alert"
    killswitch = "killswitch"
    rollup = "rollup"
    command = "command"
    expectation = "expectation"
    rule = "rule"


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command("schema")(schema)


def schema(
    name: Annotated[SchemaName | None, typer.Argument(help="Which schema to print.")] = None,
    write: Annotated[
        Path | None,
        typer.Option("--write", help="Write all schemas into this directory instead.", file_okay=False),
    ] = None,
) -> None:
    """Print the JSON Schema (draft 2020-12) of a message or of rule files."""
    if (name is None) == (write is None):
        raise typer.BadParameter("give one name to print it, or --write DIR to write all")
    if write is not None:
        for path in write_schemas(write):
            print(path)
    elif name is not None:
        print(schema_text(name), end="")


def schema_text(name: str) -> str:
    """One schema as the text of its file. Raises KeyError where there is none of this name."""
    return json.dumps(_schemas()[name](), indent=2, ensure_ascii=False) + "\n"


def write_schemas(directory: Path) -> list[Path]:
    """Writes every schema as `<name>.json`; returns the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{name.value}.json" for name in SchemaName]
    for path in paths:
        path.write_text(schema_text(path.stem), encoding="utf-8")
    return paths


def _schemas() -> dict[str, Callable[[], dict[str, Any]]]:
    from tokenfuse.contracts.public.registry import SCHEMAS

    return {**SCHEMAS, SchemaName.rule.value: _rule}


def _rule() -> dict[str, Any]:
    from tokenfuse.rules.schema import json_schema

    rule = json_schema()
    return {"$schema": rule["$schema"], "$id": "urn:tokenfuse:schema:rule:v1", **rule}
