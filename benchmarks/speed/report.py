"""Tables of what was measured, for the terminal and for the pages in docs/, which hold them between markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.speed.results import Results
from benchmarks.speed.row import Line, Row

HEAD: Final = ("what", "to reach", "measured", "ratio", "spread", "")


def table(lines: Sequence[Line]) -> str:
    """A Markdown table, padded so that it can be read as it is."""
    cells = [HEAD, *((x.what, x.target, x.figure, x.ratio, x.spread, x.verdict) for x in lines)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(HEAD))]
    rows = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([rows[0], rule, *rows[1:]])


def whole(rows: Sequence[Row], results: Results) -> str:
    """Every row's table under its title; rows without a round say so."""
    parts = []
    for row in rows:
        rounds = results.rounds(row.name)
        text = table(row.lines(rounds)) if rounds else "Not measured yet."
        parts.append(f"### {row.title}\n`--rows {row.name}`, {count(len(rounds))}\n\n{text}")
    return "\n\n".join(parts)


def count(rounds: int) -> str:
    """In words."""
    return f"{rounds} round{'' if rounds == 1 else 's'}"


def fill(page: Path, name: str, text: str) -> None:
    """Replace what stands between the page's markers `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ValueError: the page has no such markers.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    content = page.read_text()
    if begin not in content or end not in content:
        raise ValueError(f"{page}: no {begin} ... {end} to write to")
    before, _, rest = content.partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")
