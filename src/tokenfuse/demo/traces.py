"""Reads call traces: CSV files in the layout of `data/SOURCES.md`, whole ones or the small extract that is packaged."""

from __future__ import annotations

import csv
import random
from bisect import bisect_right
from collections.abc import Iterator
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Final

from msgspec import Struct

WINDOW_S: Final = 600
"""Length of a window of arrival rates."""

MOONCAKE_BLOCK_TOKENS: Final = 512

_QUANTILES: Final = (
    ("p10", 0.1),
    ("p25", 0.25),
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p99", 0.99),
    ("max", 1.0),
)


class Curve(Struct, frozen=True):
    """A distribution by its quantiles: (share, value) points, rising in both."""

    points: tuple[tuple[float, float], ...]

    def draw(self, rng: random.Random) -> float:
        """One value: uniform between neighbouring quantiles."""
        at = rng.random()
        for (low, start), (high, end) in pairwise(self.points):
            if at <= high:
                return start + (end - start) * (at - low) / (high - low)
        return self.points[-1][1]


class Window(Struct, frozen=True):
    """Ten minutes of one client: calls per second, and the variation coefficient of the gaps between them."""

    start_s: int
    calls_per_s: float
    cv: float


class Client(Struct, frozen=True):
    """One client of ServeGen: when it calls, and how long its prompts and answers are.

    Attributes:
        kind: category and model, e.g. `language m-large`.
        curves: by field, the start of each 6 h window and its distribution, oldest first.
    """

    kind: str
    name: str
    windows: tuple[Window, ...]
    curves: dict[str, tuple[tuple[int, Curve], ...]]

    def curve(self, field: str, at_s: float) -> Curve:
        """The distribution of a field at a time: of the window that holds it, else of the nearest earlier one."""
        known = self.curves[field]
        place = bisect_right(known, at_s, key=lambda each: each[0])
        return known[max(place - 1, 0)][1]


class AgentRequest(Struct, frozen=True):
    """One model request of a coding agent. `sub` 0 is the main agent; `think_s` passed before the request."""

    sub: int
    step: int
    model: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    uses_tool: bool
    api_s: float
    think_s: float


class Exchange(Struct, frozen=True):
    """Lengths of one prompt and its answer, tokens; `cached_tokens` of the prompt were seen before."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int


def packaged() -> Path:
    """Directory of the small extract."""
    return Path(str(resources.files("tokenfuse.demo") / "data"))


def read_clients(directory: Path) -> list[Client]:
    """Clients with known lengths, by kind and name."""
    curves = _read_curves(directory)
    windows: dict[tuple[str, str], list[Window]] = {}
    for row in _rows(directory / "servegen_clients_10min.csv"):
        key = (f"{row['category']} {row['model']}", row["client"])
        if key in curves:
            window = Window(int(float(row["t_s"])), float(row["rate_rps"]), float(row["cv"] or 1))
            windows.setdefault(key, []).append(window)
    return [
        Client(*key, tuple(windows[key]), {field: tuple(series) for field, series in curves[key].items()})
        for key in sorted(windows)
    ]


def _read_curves(directory: Path) -> dict[tuple[str, str], dict[str, list[tuple[int, Curve]]]]:
    curves: dict[tuple[str, str], dict[str, list[tuple[int, Curve]]]] = {}
    for row in _rows(directory / "servegen_tokens_windows.csv"):
        points = tuple((share, float(row[name])) for name, share in _QUANTILES)
        # The lowest tenth is not described: half of its upper end is taken as the shortest.
        curve = Curve(((0.0, points[0][1] / 2), *points))
        by_field = curves.setdefault((f"{row['category']} {row['model']}", row["client"]), {})
        by_field.setdefault(row["field"], []).append((int(float(row["t_s"])), curve))
    return curves


def read_agent_runs(directory: Path) -> list[list[AgentRequest]]:
    """Runs of coding agents, each in the order of its requests."""
    runs: dict[str, list[AgentRequest]] = {}
    for row in _rows(directory / "cc_agent_requests.csv"):
        tokens = int(row["input_tokens"])
        request = AgentRequest(
            int(row["sub"]),
            int(row["step"]),
            row["model"],
            tokens,
            int(row["output_tokens"]),
            min(int(row["prefix_cached_tokens"]), tokens),
            row["stop"] == "tool_use",
            float(row["api_time_s"] or 0),
            float(row["think_time_s"] or 0),
        )
        runs.setdefault(row["trace"], []).append(request)
    return [runs[name] for name in sorted(runs)]


def read_mooncake(directory: Path) -> list[Exchange]:
    """Requests of a chat service with an ideal prefix cache, in their order."""
    return [
        _exchange(
            row["input_length"], row["output_length"], int(row["prefix_hit_blocks"]) * MOONCAKE_BLOCK_TOKENS
        )
        for row in _rows(directory / "mooncake_synthetic.csv")
    ]


def read_azure(directory: Path) -> list[Exchange]:
    """Requests of a code-completion service, in their order."""
    return [
        _exchange(row["ContextTokens"], row["GeneratedTokens"], 0)
        for row in _rows(directory / "azure2023_code.csv")
    ]


def _exchange(input_tokens: str, output_tokens: str, cached_tokens: int) -> Exchange:
    return Exchange(int(input_tokens), int(output_tokens), min(cached_tokens, int(input_tokens)))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)
