"""The hidden labels: what each incident cost minute by minute, from the run and its counterfactual."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from benchmarks.detection.calls import Calls
from benchmarks.detection.clock import HOUR_MS, MINUTE_MS
from benchmarks.detection.company import FEATURES, MODELS, Company, tenant_name
from benchmarks.detection.effects import touched_by
from benchmarks.detection.events import run_name
from benchmarks.detection.harmless import Harmless
from benchmarks.detection.incidents import Incident

RUNS_MAX: Final = 300
CALLS_MIN: Final = 5
"""An incident in a scope that happened to rest is none."""


class Part(msgspec.Struct, frozen=True):
    """Calls of one tenant, feature and model while an incident lasts.

    Attributes:
        calls: all of them. inside: of these in the incident's scope. excess_nanousd: what the incident added.
    """

    tenant: str
    feature: str
    model: str
    calls: int
    inside: int
    excess_nanousd: int


class Label(msgspec.Struct, frozen=True):
    """One incident, as it came to be.

    Attributes:
        drivers: names that are right; the first is meant. end_ms: after its last call.
        minutes: excess per minute since start_ms, nano-dollars. calls: of its scope while it lasted.
        calls_per_hour: of its scope without it. runs: agent runs that belong to it.
    """

    incident: int
    kind: str
    scope: dict[str, str]
    drivers: tuple[str, ...]
    start_ms: int
    end_ms: int
    settings: dict[str, float]
    calls: int
    calls_per_hour: float
    excess_nanousd: int
    minutes: tuple[int, ...]
    parts: tuple[Part, ...]
    runs: tuple[str, ...] = ()


class HarmlessLabel(msgspec.Struct, frozen=True):
    """One harmless event: alerts that overlap it are counted by its kind."""

    kind: str
    start_ms: int
    end_ms: int
    scopes: tuple[dict[str, str], ...]


class Labels(msgspec.Struct, frozen=True):
    """Everything the judge knows of one seed."""

    seed: int
    incidents: tuple[Label, ...]
    harmless: tuple[HarmlessLabel, ...]
    wanted: int = 3_000_000
    """Calls that were asked for: with the seed it gives the same simulation again."""


def build(
    company: Company,
    incidents: tuple[Incident, ...],
    harmless: tuple[Harmless, ...],
    base: Calls,
    run: Calls,
    wanted: int,
) -> Labels:
    """Labels of one seed; the first len(base) calls of the run are those of the counterfactual."""
    delta = run["cost"].copy()
    delta[: len(base)] -= base["cost"]
    return Labels(
        company.seed,
        tuple(
            _label(company, incident, base, run, delta)
            for incident in incidents
            if (run["incident"] == incident.number).sum() >= CALLS_MIN
        ),
        tuple(
            HarmlessLabel(
                event.kind,
                event.start_ms,
                event.end_ms,
                tuple(company.cells[i].axes for i in event.cells),
            )
            for event in harmless
        ),
        wanted,
    )


def _label(
    company: Company, incident: Incident, base: Calls, run: Calls, delta: npt.NDArray[np.int64]
) -> Label:
    mine = np.flatnonzero(run["incident"] == incident.number)
    last_ms = int(run["time_ms"][mine].max(initial=incident.start_ms))
    minute = (run["time_ms"][mine] - incident.start_ms) // MINUTE_MS
    minutes = np.zeros(int(minute.max(initial=0)) + 1, np.int64)
    np.add.at(minutes, np.maximum(minute, 0), delta[mine])
    end_ms = last_ms + 1
    length_ms = max(end_ms - incident.start_ms, HOUR_MS)
    usual = touched_by(_during(incident, length_ms), base)
    inside = _in_scope(incident, run, end_ms)
    runs = np.unique(run["run"][mine])
    return Label(
        **incident.label() | {"end_ms": end_ms},
        calls=int(inside.sum()),
        calls_per_hour=len(usual) * HOUR_MS / length_ms,
        excess_nanousd=int(minutes.sum()),
        minutes=tuple(minutes.tolist()),
        parts=_parts(company, incident, run, delta, end_ms),
        runs=tuple(str(run_name(r)) for r in runs.tolist()[:RUNS_MAX])
        if incident.kind.name in ("agent_loop", "fan_out")
        else (),
    )


def _during(incident: Incident, length_ms: int) -> Incident:
    return replace(incident, end_ms=incident.start_ms + length_ms)


def _in_scope(incident: Incident, run: Calls, end_ms: int) -> npt.NDArray[np.bool_]:
    inside = np.isin(run["cell"], incident.cells) & (run["time_ms"] >= incident.start_ms)
    inside &= run["time_ms"] < end_ms
    result: npt.NDArray[np.bool_] = inside & (
        (run["model"] == incident.model) if incident.model >= 0 else True
    )
    return result


def _parts(
    company: Company, incident: Incident, run: Calls, delta: npt.NDArray[np.int64], end_ms: int
) -> tuple[Part, ...]:
    during = np.flatnonzero((run["time_ms"] >= incident.start_ms) & (run["time_ms"] < end_ms))
    key = run["cell"][during].astype(np.int64) * len(MODELS) + run["model"][during]
    mine = run["incident"][during] == incident.number
    inside = _in_scope(incident, run, end_ms)[during]
    size = len(company.cells) * len(MODELS)
    calls, within = np.bincount(key, minlength=size), np.bincount(key[inside], minlength=size)
    excess = np.zeros(size, np.int64)
    np.add.at(excess, key[mine], delta[during][mine])
    return tuple(
        Part(
            tenant_name(company.cells[k // len(MODELS)].tenant),
            FEATURES[company.cells[k // len(MODELS)].feature].name,
            MODELS[k % len(MODELS)],
            int(calls[k]),
            int(within[k]),
            int(excess[k]),
        )
        for k in np.flatnonzero(calls).tolist()
    )


def write(path: Path, labels: Labels) -> None:
    """One JSON object per file."""
    path.write_bytes(msgspec.json.encode(labels) + b"\n")


def read(path: Path) -> Labels:
    """Inverse of `write`."""
    return msgspec.json.decode(path.read_bytes(), type=Labels)
