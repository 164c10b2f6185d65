"""Which incidents happen where and when: drawn by seed, so that no two of them share a cell at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from benchmarks.detection.clock import END_MS, HOUR_MS, JUDGED_MS, MINUTE_MS, stream
from benchmarks.detection.company import AGENT, FEATURES, FRONTIER, MODELS, TENANTS, Company, tenant_name
from benchmarks.detection.harmless import QUIET, Harmless
from benchmarks.detection.traces import Floats

GUARD_MS: Final = 6 * HOUR_MS
"""So long after an incident its cells rest, and no incident begins within it of a gap or a skew."""
TRIES: Final = 400


@dataclass(frozen=True)
class Kind:
    """One kind of incident.

    Attributes:
        drivers: names that an alert may give; the first is the one that is meant.
        axes: shapes of scope with the chance of each: cell is tenant with feature.
        hours: shortest and longest duration.
        settings: what is drawn for it, e.g. the factor of a surge.
    """

    name: str
    drivers: tuple[str, ...]
    axes: tuple[tuple[str, float], ...]
    hours: tuple[float, float]
    settings: Callable[[np.random.Generator], dict[str, float]] = field(default=lambda _: {})


MOSTLY_CELLS: Final = (("cell", 0.6), ("feature", 0.2), ("tenant", 0.2))

KINDS: Final = (
    Kind("prompt_step", ("prompt",), MOSTLY_CELLS, (12, 48)),
    Kind("prompt_ramp", ("prompt",), MOSTLY_CELLS, (120, 120)),
    Kind("cache_drop", ("cache",), (("cell", 0.6), ("feature", 0.2), ("model", 0.2)), (12, 48)),
    Kind("retry_storm", ("retry",), (("cell", 0.5), ("tenant", 0.2), ("model", 0.3)), (6, 36)),
    Kind("tier_shift", ("tier",), MOSTLY_CELLS, (12, 48)),
    Kind("output_double", ("output",), (("cell", 0.6), ("feature", 0.2), ("model", 0.2)), (12, 48)),
    Kind("output_ramp", ("output",), (("cell", 0.7), ("feature", 0.3)), (120, 168)),
    Kind(
        "surge",
        ("volume",),
        (("cell", 0.5), ("tenant", 0.3), ("feature", 0.1), ("global", 0.1)),
        (4, 4),
        lambda rng: {"factor": float(rng.choice([3, 5, 10]))},
    ),
    Kind("price", ("price",), (("model", 0.5), ("tenant", 0.2), ("cell", 0.3)), (24, 72)),
    Kind(
        "agent_loop", ("loop",), (("agent", 1.0),), (6, 6), lambda rng: {"steps": int(rng.integers(400, 901))}
    ),
    Kind("fan_out", ("loop", "volume"), (("agent", 1.0),), (0.25, 0.25), lambda _: {"runs": 200}),
    Kind("burn", ("volume",), (("cell", 0.7), ("tenant", 0.3)), (1 / 6, 1 / 6), lambda _: {"factor": 20}),
)
PER_KIND: Final = 2

CALLS_PER_HOUR_MIN: Final = {"burn": 20.0, "surge": 2.0}
"""Ten minutes of a scope with fewer calls hold nothing to multiply."""
CALLS_PER_DAY_MIN: Final = 20.0
USD_PER_DAY_MIN: Final = 0.5
"""What a scope usually spends: twice a few cents a day are nobody's incident."""


@dataclass(frozen=True)
class Incident:
    """One incident. `cells` and `model` say which calls it touches; model -1: any."""

    number: int
    kind: Kind
    scope: dict[str, str]
    cells: tuple[int, ...]
    model: int
    start_ms: int
    end_ms: int
    settings: dict[str, float]

    def label(self) -> dict[str, Any]:
        """What the label file says before the dollars are known."""
        return {
            "incident": self.number,
            "kind": self.kind.name,
            "scope": self.scope,
            "drivers": self.kind.drivers,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "settings": self.settings,
        }


@dataclass(frozen=True)
class Size:
    """What each cell usually has, float64[cells] each, from the learned weeks."""

    calls_per_day: Floats
    usd_per_day: Floats


@dataclass(frozen=True)
class Place:
    """A scope that an incident may have."""

    scope: dict[str, str]
    cells: tuple[int, ...]
    model: int = -1


def plan(company: Company, harmless: tuple[Harmless, ...], size: Size) -> tuple[Incident, ...]:
    """PER_KIND incidents of every kind, in the order of their starts; the long ones are placed first."""
    rng = stream(company.seed, "incidents")
    placed: list[Incident] = []
    for kind in sorted(KINDS * PER_KIND, key=lambda kind: -kind.hours[1]):
        for _ in range(TRIES):
            incident = _draw(rng, kind, company, size)
            if incident and _free(incident, placed, harmless):
                placed.append(incident)
                break
    ordered = sorted(placed, key=lambda incident: (incident.start_ms, incident.kind.name))
    return tuple(
        Incident(i, x.kind, x.scope, x.cells, x.model, x.start_ms, x.end_ms, x.settings)
        for i, x in enumerate(ordered)
    )


def _draw(rng: np.random.Generator, kind: Kind, company: Company, size: Size) -> Incident | None:
    """One try; None: the scope has too few calls, or not the calls that the kind changes."""
    shapes, chances = zip(*kind.axes, strict=True)
    shape = str(rng.choice(shapes, p=chances))
    places = _places(company, kind.name, shape)
    # Small scopes count as well as large ones; most are small.
    chance = np.sqrt([size.calls_per_day[list(place.cells)].sum() for place in places])
    place = places[int(rng.choice(len(places), p=chance / chance.sum()))]
    length_ms = int(rng.uniform(*kind.hours) * HOUR_MS)
    start_ms = (
        JUDGED_MS + int(rng.integers(6 * 60, (END_MS - JUDGED_MS - length_ms) // MINUTE_MS)) * MINUTE_MS
    )
    if kind.name not in ("agent_loop", "fan_out") and not _large_enough(kind, place, size):
        return None
    return Incident(
        0, kind, place.scope, place.cells, place.model, start_ms, start_ms + length_ms, kind.settings(rng)
    )


def _large_enough(kind: Kind, place: Place, size: Size) -> bool:
    cells = list(place.cells)
    per_day = size.calls_per_day[cells].sum()
    return bool(
        per_day >= CALLS_PER_DAY_MIN
        and per_day / 24 >= CALLS_PER_HOUR_MIN.get(kind.name, 0)
        and size.usd_per_day[cells].sum() >= USD_PER_DAY_MIN
    )


def _places(company: Company, kind: str, shape: str) -> list[Place]:
    cells = [i for i, cell in enumerate(company.cells) if cell.tenant < TENANTS and _can(company, i, kind)]
    if shape in ("cell", "agent"):
        return [Place(company.cells[i].axes, (i,)) for i in cells]
    if shape == "global":
        return [Place({}, tuple(cells))]
    if shape == "feature":
        of = {f: tuple(i for i in cells if company.cells[i].feature == f) for f in range(len(FEATURES))}
        return [Place({"feature": FEATURES[f].name}, members) for f, members in of.items() if members]
    if shape == "tenant":
        by = {t: tuple(i for i in cells if company.cells[i].tenant == t) for t in range(TENANTS)}
        return [Place({"tenant": tenant_name(t)}, members) for t, members in by.items() if len(members) > 1]
    on = {m: tuple(i for i in cells if m in _models(company, i)) for m in range(len(MODELS))}
    return [Place({"model": MODELS[m]}, members, m) for m, members in on.items() if members]


def _can(company: Company, i: int, kind: str) -> bool:
    """Whether a cell has what the incident changes."""
    cell = company.cells[i]
    agent = cell.feature == AGENT
    if kind in ("agent_loop", "fan_out"):
        return agent
    if kind == "cache_drop":
        return agent or FEATURES[cell.feature].lengths == "mooncake" or cell.prefix_tokens > 0
    return not agent or kind == "price"


def _models(company: Company, i: int) -> tuple[int, int]:
    feature = FEATURES[company.cells[i].feature]
    return feature.usual, feature.dearer


def frontier_of(company: Company, i: int) -> int:
    """The frontier model that a cell's calls can move to."""
    dearer = FEATURES[company.cells[i].feature].dearer
    assert MODELS[dearer] in FRONTIER
    return dearer


def _free(incident: Incident, placed: list[Incident], harmless: tuple[Harmless, ...]) -> bool:
    """Whether its cells are at rest and its start is not hidden by a gap."""
    for other in placed:
        apart = incident.start_ms > other.end_ms + GUARD_MS or other.start_ms > incident.end_ms + GUARD_MS
        if not apart and set(incident.cells) & set(other.cells):
            return False
    return all(
        event.kind not in QUIET
        or not event.start_ms - GUARD_MS <= incident.start_ms <= event.end_ms + GUARD_MS
        for event in harmless
    )
