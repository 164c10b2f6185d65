"""Rule tables: one CSV row per scope value, e.g. per-tenant caps and time zones."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from tokenfuse.rules.errors import Problem, RuleFileError
from tokenfuse.rules.kinds.base import Table
from tokenfuse.rules.units import parse_usd

V = TypeVar("V")


def usd_column(root: Path, table: Table) -> dict[str, int]:
    """Scope value to nano-dollars.

    Raises:
        RuleFileError: with every bad row.
    """
    return _column(root, table, parse_usd)


def zone_column(root: Path, table: Table) -> dict[str, str]:
    """Scope value to IANA zone.

    Raises:
        RuleFileError: with every bad row.
    """
    return _column(root, table, parse_zone)


def parse_zone(name: str) -> str:
    """The name itself.

    Raises:
        ValueError: no IANA zone.
    """
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{name!r} is no IANA time zone such as Europe/Berlin") from error
    return name


def _column(root: Path, table: Table, parse: Callable[[str], V]) -> dict[str, V]:
    """Key to parsed value; empty cells mean none."""
    out: dict[str, V] = {}
    seen: set[str] = set()
    problems: list[Problem] = []
    for line, row in _rows(root, table):
        key, text = row[table.key].strip(), row[table.column].strip()
        try:
            if not key or key in seen:
                raise ValueError(
                    f"{table.key} {key!r} is there twice: keep one" if key else f"{table.key} is empty"
                )
            if text:
                out[key] = parse(text)
        except ValueError as error:
            problems.append(Problem(table.table, line, f"{table.column}: {error}"))
        seen.add(key)
    if problems:
        raise RuleFileError(problems)
    return out


def _rows(root: Path, table: Table) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and cells by column name; empty lines and lines that begin with # are left out."""
    lines = [
        (i, cells) for i, cells in enumerate(_cells(root, table), 1) if cells and not cells[0].startswith("#")
    ]
    if not lines:
        raise RuleFileError(
            [Problem(table.table, 1, f"empty: the first line names the columns, {table.key} among them")]
        )
    (first, header), *rest = lines
    header = [name.strip() for name in header]
    missing = [name for name in (table.key, table.column) if name not in header]
    if missing:
        raise RuleFileError(
            [Problem(table.table, first, f"no column {', '.join(missing)}: there are {', '.join(header)}")]
        )
    wrong = [(line, cells) for line, cells in rest if len(cells) != len(header)]
    if wrong:
        raise RuleFileError(
            Problem(table.table, line, f"{len(cells)} cells, the header names {len(header)}")
            for line, cells in wrong
        )
    for line, cells in rest:
        yield line, dict(zip(header, cells, strict=True))


def _cells(root: Path, table: Table) -> list[list[str]]:
    """One list of cells per line: a quoted line break would hide which line is wrong, so there is none."""
    path = (root / table.table).resolve()
    if not path.is_relative_to(root.resolve()):
        raise RuleFileError([Problem(table.table, 1, "outside the rules directory: move the table below it")])
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return [next(csv.reader([line], strict=True), []) for line in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RuleFileError([Problem(table.table, 1, f"cannot be read as CSV: {reason}")]) from error
