"""The simulated company of one seed: tenants, features, models, and how each tenant uses each feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from benchmarks.detection import traces
from benchmarks.detection.clock import stream
from benchmarks.detection.traces import Client

Item = TypeVar("Item")

HELD_OUT_SEEDS: Final = 101
"""Seeds from here on draw from the other half of the clients, agent runs and exchanges."""

TENANTS: Final = 24
CELLS: Final = 104
SCOPES: Final = 1 + TENANTS + 9 + 8 + CELLS
"""Judged: global, tenants, features, models, tenants with features: 146. The new tenant of a seed is not among them."""

MODELS: Final = (
    "gpt-5-nano",
    "gpt-4o-mini",
    "claude-haiku-4-5",
    "gpt-4o",
    "claude-sonnet-4-5",
    "gpt-5",
    "claude-opus-4-5",
    "o4-mini",
)
FRONTIER: Final = frozenset({"gpt-5", "claude-opus-4-5"})


@dataclass(frozen=True)
class Feature:
    """What a feature's calls look like. `lengths`: client, reasoning, mooncake, azure or agent; models by index."""

    name: str
    kind: str
    lengths: str
    usual: int
    dearer: int


FEATURES: Final = (
    Feature("support-chat", "m-large", "client", 3, 5),
    Feature("report-writer", "m-large", "client", 4, 6),
    Feature("summarise", "m-mid", "client", 1, 5),
    Feature("translate", "m-mid", "client", 2, 6),
    Feature("classify", "m-small", "client", 0, 5),
    Feature("planner", "m-large", "reasoning", 7, 6),
    Feature("kb-chat", "m-mid", "mooncake", 2, 6),
    Feature("code-complete", "m-mid", "azure", 1, 5),
    Feature("code-agent", "m-large", "agent", 4, 6),
)
AGENT: Final = 8
"""Index of the feature whose calls are agent runs."""


@dataclass(frozen=True)
class Cell:
    """One tenant's use of one feature.

    Attributes:
        client: whose arrivals it follows. shift: windows of 10 minutes by which the tenant's day begins earlier.
        weight: share of all calls. prefix_tokens: system prompt, cached in `hit` of the calls.
        dearer: share of calls on the dearer model. retry: retries per first attempt.
    """

    tenant: int
    feature: int
    client: Client
    shift: int
    weight: float
    prefix_tokens: int
    hit: float
    dearer: float
    retry: float

    @property
    def axes(self) -> dict[str, str]:
        """Axis to value."""
        return {"tenant": tenant_name(self.tenant), "feature": FEATURES[self.feature].name}


@dataclass(frozen=True)
class Company:
    """Cells, the last two of them the new tenant's; and which agent runs are drawn from in each half."""

    seed: int
    cells: tuple[Cell, ...]
    learned_runs: tuple[int, ...]
    judged_runs: tuple[int, ...]


def tenant_name(tenant: int) -> str:
    """`t00` ...; the new tenant is `t24`."""
    return f"t{tenant:02d}"


def found(seed: int) -> Company:
    """The company of a seed."""
    rng = stream(seed, "company")
    zones = rng.integers(-8, 9, TENANTS + 1) * 6
    places = _places(rng)
    # The largest tenants and features have a hundred times the calls of the small ones.
    size = rng.lognormal(0.0, 1.3, len(places))
    cells = [
        _cell(rng, seed, tenant, feature, int(zones[tenant]), float(weight))
        for (tenant, feature), weight in zip(places, size / size.sum(), strict=True)
    ]
    cells += [_cell(rng, seed, TENANTS, feature, int(zones[TENANTS]), 0.01) for feature in (0, 3)]
    runs = rng.permutation(pool(seed, range(len(traces.agent_runs())))).tolist()
    return Company(seed, tuple(cells), tuple(runs[: len(runs) // 2]), tuple(runs[len(runs) // 2 :]))


def pool(seed: int, items: Sequence[Item]) -> list[Item]:
    """The half of a trace pool that a seed may use: seeds to report on never see what was developed on."""
    return list(items[int(seed >= HELD_OUT_SEEDS) :: 2])


def _places(rng: np.random.Generator) -> list[tuple[int, int]]:
    """CELLS pairs of tenant and feature: every tenant and every feature at least twice."""
    pairs = [(t, int(f)) for t in range(TENANTS) for f in rng.permutation(len(FEATURES))[:2]]
    rest = [(t, f) for t in range(TENANTS) for f in range(len(FEATURES)) if (t, f) not in set(pairs)]
    chosen = rng.permutation(len(rest))[: CELLS - len(pairs)]
    return sorted([*pairs, *(rest[i] for i in chosen)])


def _cell(rng: np.random.Generator, seed: int, tenant: int, feature: int, shift: int, weight: float) -> Cell:
    kind = FEATURES[feature].kind
    of_kind = pool(seed, [client for client in traces.clients() if client.kind == kind])
    return Cell(
        tenant=tenant,
        feature=feature,
        client=of_kind[int(rng.integers(len(of_kind)))],
        shift=shift,
        weight=weight,
        prefix_tokens=int(rng.choice([0, 512, 1024, 2048])),
        hit=float(rng.uniform(0.4, 0.92)),
        dearer=float(rng.uniform(0.01, 0.2)),
        retry=float(rng.uniform(0.002, 0.03)),
    )
