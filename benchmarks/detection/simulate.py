"""The simulator: the files of one seed.

learned.jsonl.zst                   14 days, the same for the run and the counterfactual
run.jsonl.zst                       14 days with incidents
counterfactual.jsonl.zst            the same days, the same random draws, without them
null.jsonl.zst                      28 steady days: no hours, no incidents, no harmless events
labels.json                         hidden from whatever is judged
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from benchmarks.detection import company as companies, effects, events, harmless, incidents, labels, prices
from benchmarks.detection.agents import agent_calls
from benchmarks.detection.calls import Calls, arrive
from benchmarks.detection.clock import END_MS, JUDGED_MS, LEARNED_DAYS, START_MS, stream
from benchmarks.detection.company import Company
from benchmarks.detection.harmless import Harmless
from benchmarks.detection.incidents import Size
from benchmarks.detection.traffic import Order, calls_of, is_agent

CALLS: Final = 3_000_000
NULL_SHARE: Final = 1 / 3
"""The null run has a third of the calls: it only has to be long."""


def simulate(seed: int, out: Path, calls: int = CALLS) -> None:
    """Write the files of a seed into `out`; `labels.json` comes last, so a directory that has it is complete."""
    out.mkdir(parents=True, exist_ok=True)
    company = companies.found(seed)
    base, run, found = both(company, calls)
    null = steady(company, calls)
    events.write(out / "learned.jsonl.zst", company, base[base["arrive_ms"] < JUDGED_MS])
    events.write(out / "run.jsonl.zst", company, run[run["arrive_ms"] >= JUDGED_MS])
    events.write(out / "counterfactual.jsonl.zst", company, base[base["arrive_ms"] >= JUDGED_MS])
    events.write(out / "null.jsonl.zst", company, null)
    labels.write(out / "labels.json", found)


def both(company: Company, calls: int) -> tuple[Calls, Calls, labels.Labels]:
    """Counterfactual, run and labels. The run begins with the counterfactual's calls in their order."""
    events_ = harmless.plan(company)
    base = normal(company, calls, events_, steady=False)
    planned = incidents.plan(company, events_, _size(company, base))
    run = effects.apply(company, planned, base)
    return base, run, labels.build(company, planned, events_, base, run, calls)


def steady(company: Company, calls: int) -> Calls:
    """The null run: what the company would be if nothing ever changed."""
    return normal(company, calls * NULL_SHARE, (), steady=True)


def _size(company: Company, base: Calls) -> Size:
    learned = base[base["time_ms"] < JUDGED_MS]
    count = len(company.cells)
    return Size(
        np.bincount(learned["cell"], minlength=count) / LEARNED_DAYS,
        np.bincount(learned["cell"], learned["cost"] / 1e9, count) / LEARNED_DAYS,
    )


def normal(company: Company, calls: float, events_: tuple[Harmless, ...], *, steady: bool) -> Calls:
    """Every call without incidents, in the order of their times, numbered and priced."""
    orders = [
        Order(company, i, calls * cell.weight, events_, steady)
        for i, cell in enumerate(company.cells)
        if not (steady and cell.tenant == companies.TENANTS)
    ]
    parts = [(agent_calls if is_agent(company.cells[order.cell]) else calls_of)(order) for order in orders]
    found = np.concatenate(parts)
    found = found[(found["time_ms"] >= START_MS) & (found["time_ms"] < END_MS)]
    found = found[found["time_ms"].argsort(kind="stable")]
    found["number"] = np.arange(len(found))
    arrive(found, stream(company.seed, f"arrivals {steady}"))
    found = harmless.happen(events_, found)
    found["cost"] = prices.price(found)
    return found
