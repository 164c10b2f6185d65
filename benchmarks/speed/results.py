"""Rounds that were measured, as JSON lines: appended, so that one row can be measured after another, and gone on with."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.speed.row import Figures

FILE = "results.jsonl"


class Results:
    """One directory of results."""

    def __init__(self, directory: Path) -> None:
        """The directory is made with the first round."""
        self._path = directory / FILE

    def rounds(self, row: str) -> list[Figures]:
        """Figures of a row's rounds, in their order."""
        return [line["figures"] for line in self._lines() if line["row"] == row]

    def append(self, row: str, figures: Figures) -> None:
        """One round more."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = {"row": row, "at": datetime.now(UTC).isoformat(timespec="seconds"), "figures": figures}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def forget(self, row: str) -> None:
        """Drop a row's rounds, to measure it anew."""
        kept = [json.dumps(line) for line in self._lines() if line["row"] != row]
        if self._path.exists():
            self._path.write_text("".join(f"{line}\n" for line in kept))

    def first_and_last(self) -> tuple[str, str] | None:
        """When the first and the last round ended; None: nothing is measured."""
        times = [line["at"] for line in self._lines()]
        return (min(times), max(times)) if times else None

    def _lines(self) -> list[Figures]:
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text().splitlines() if line]
