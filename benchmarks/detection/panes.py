"""Sums per pane of five minutes, for the baselines: the calls of a seed, aggregated without the product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from benchmarks.detection.calls import Calls
from benchmarks.detection.clock import END_MS, JUDGED_MS, MINUTE_MS, START_MS
from benchmarks.detection.company import FEATURES, MODELS, TENANTS, Company, tenant_name
from benchmarks.detection.traces import Floats

PANE_MS: Final = 5 * MINUTE_MS
PANES: Final = (END_MS - START_MS) // PANE_MS
PANES_PER_HOUR: Final = 12
JUDGED_PANE: Final = (JUDGED_MS - START_MS) // PANE_MS


@dataclass(frozen=True)
class Scopes:
    """The judged scopes: their axes, and which atoms (cell and model) each one is the sum of.

    Attributes:
        members: bool[scopes, atoms], atom = cell * models + model.
    """

    axes: tuple[dict[str, str], ...]
    members: npt.NDArray[np.bool_]


def scopes_of(company: Company) -> Scopes:
    """Global, tenants, features, models and cells, without the new tenant's own."""
    tenant, feature, model = (
        np.repeat([c.tenant for c in company.cells], len(MODELS)),
        np.repeat([c.feature for c in company.cells], len(MODELS)),
        np.tile(np.arange(len(MODELS)), len(company.cells)),
    )
    found: list[tuple[dict[str, str], npt.NDArray[np.bool_]]] = [({}, np.ones(len(tenant), bool))]
    found += [({"tenant": tenant_name(t)}, tenant == t) for t in range(TENANTS)]
    found += [({"feature": f.name}, feature == i) for i, f in enumerate(FEATURES)]
    found += [({"model": name}, model == i) for i, name in enumerate(MODELS)]
    found += [
        (cell.axes, (tenant == cell.tenant) & (feature == cell.feature))
        for cell in company.cells
        if cell.tenant < TENANTS
    ]
    return Scopes(tuple(axes for axes, _ in found), np.array([members for _, members in found]))


def atom_of(calls: Calls) -> npt.NDArray[np.int64]:
    """Cell and model as one number, int64[n]."""
    result: npt.NDArray[np.int64] = calls["cell"].astype(np.int64) * len(MODELS) + calls["model"]
    return result


def pane_of(calls: Calls) -> npt.NDArray[np.int64]:
    """Pane of each call, int64[n]; times beyond the end fall into the last one."""
    result: npt.NDArray[np.int64] = np.clip((calls["time_ms"] - START_MS) // PANE_MS, 0, PANES - 1)
    return result


def cost_of_scopes(company: Company, calls: Calls, scopes: Scopes) -> Floats:
    """Dollars per scope and pane, float64[scopes, PANES]."""
    atoms = len(company.cells) * len(MODELS)
    key = atom_of(calls) * PANES + pane_of(calls)
    cost = np.bincount(key, calls["cost"] / 1e9, atoms * PANES).reshape(atoms, PANES)
    result: Floats = scopes.members.astype(np.float64) @ cost
    return result


def end_ms(pane: int) -> int:
    """When a pane has closed."""
    return START_MS + (pane + 1) * PANE_MS
