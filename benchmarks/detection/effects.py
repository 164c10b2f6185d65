"""What each kind of incident does to the calls of its scope. The same calls without it are the counterfactual."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from benchmarks.detection import prices
from benchmarks.detection.agents import signatures
from benchmarks.detection.calls import Calls, arrive, new
from benchmarks.detection.clock import DAY_MS, MINUTE_MS, stream
from benchmarks.detection.company import FEATURES, FRONTIER, MODELS, Company
from benchmarks.detection.incidents import Incident, frontier_of
from benchmarks.detection.traffic import INPUT_MAX, OUTPUT_MAX

PROMPT_MORE: Final = 600
PROMPT_FACTOR: Final = 3.0
CACHE_LEFT: Final = 0.15
RETRY_SHARE: Final = 0.25
TIER_MOVED: Final = 0.2
OUTPUT_PER_DAY: Final = 1.08
PRICE_NUMERATOR, PRICE_DENOMINATOR = 3, 2

EXTRA_NUMBERS: Final = 10**9
"""Calls that exist in the run only are numbered from here on, a block of this size for each incident."""
EXTRA_RUNS: Final = 2_000_000_000
RUNS_PER_INCIDENT: Final = 1_000

LOOP_STEP_MS: Final = (5_000, 20_000)
LOOP_MORE_TOKENS: Final = (120, 600)
LOOP_SIGNATURES: Final = 3
CONTEXT_MAX: Final = 180_000

Rng = np.random.Generator
Places = npt.NDArray[np.int64]


def apply(company: Company, incidents: tuple[Incident, ...], base: Calls) -> Calls:
    """The run: calls changed and added by incidents, priced anew; `incident` says by which.

    The first len(base) calls are those of the counterfactual, in its order; the added ones follow.
    """
    run = base.copy()
    added = []
    for incident in incidents:
        rng = stream(company.seed, f"incident {incident.number}")
        touched = touched_by(incident, base)
        extra = EFFECTS[incident.kind.name](run, touched, incident, company, rng)
        if extra is not None:
            extra["number"] = EXTRA_NUMBERS * (1 + incident.number) + np.arange(len(extra))
            extra["incident"] = incident.number
            arrive(extra, rng)
            added.append(extra)
    changed = np.flatnonzero(run["incident"] >= 0)
    run["cost"][changed] = prices.price(run[changed])
    extras = np.concatenate([new(0), *added])
    extras["cost"] = prices.price(extras)
    run = np.concatenate([run, extras])
    for incident in incidents:
        if incident.kind.name == "price":
            dearer = run["incident"] == incident.number
            run["cost"][dearer] = prices.half_even(run["cost"][dearer] * PRICE_NUMERATOR, PRICE_DENOMINATOR)
    return run


def touched_by(incident: Incident, calls: Calls) -> Places:
    """Calls inside the incident's scope and time, as indices."""
    inside = (calls["time_ms"] >= incident.start_ms) & (calls["time_ms"] < incident.end_ms)
    inside &= np.isin(calls["cell"], incident.cells)
    if incident.model >= 0:
        inside &= calls["model"] == incident.model
    return np.flatnonzero(inside)


def _mark(run: Calls, at: Places, incident: Incident) -> None:
    run["incident"][at] = incident.number


def _prompt_step(run: Calls, at: Places, incident: Incident, _company: Company, _rng: Rng) -> None:
    run["input"][at] = np.minimum(run["input"][at] + PROMPT_MORE, INPUT_MAX)
    _mark(run, at, incident)


def _prompt_ramp(run: Calls, at: Places, incident: Incident, _company: Company, _rng: Rng) -> None:
    done = (run["time_ms"][at] - incident.start_ms) / (incident.end_ms - incident.start_ms)
    longer = run["input"][at] * (1 + (PROMPT_FACTOR - 1) * done)
    run["input"][at] = np.minimum(longer, INPUT_MAX)
    _mark(run, at, incident)


def _cache_drop(run: Calls, at: Places, incident: Incident, _company: Company, rng: Rng) -> None:
    lost = at[rng.random(len(at)) > CACHE_LEFT]
    run["cached"][lost] = 0
    _mark(run, at, incident)


def _retry_storm(run: Calls, at: Places, incident: Incident, _company: Company, rng: Rng) -> Calls:
    """Retries are added until they are RETRY_SHARE of all attempts."""
    first = at[run["attempt"][at] == 1]
    have = len(at) - len(first)
    wanted = max(RETRY_SHARE / (1 - RETRY_SHARE) * len(first) - have, 0)
    times = rng.poisson(wanted / max(len(first), 1), len(first))
    extra = run[np.repeat(first, times)]
    # Attempts of one call are numbered from 2 on; a call that had been retried already begins at 2 again, as a new one.
    order = np.arange(len(extra)) - np.repeat(np.cumsum(times) - times, times)
    extra["attempt"] = np.minimum(2 + order, 100)
    extra["time_ms"] += 4_000 * (1 + order) + rng.integers(0, 3_000, len(extra))
    run["failed"][first[times > 0]] = True
    _mark(run, at, incident)
    return extra


def _tier_shift(run: Calls, at: Places, incident: Incident, company: Company, rng: Rng) -> None:
    frontier = np.isin(run["model"][at], [MODELS.index(name) for name in sorted(FRONTIER)])
    share = frontier.mean() if len(at) else 0.0
    moved = at[~frontier & (rng.random(len(at)) < TIER_MOVED / max(1 - share, TIER_MOVED))]
    for cell in np.unique(run["cell"][moved]).tolist():
        mine = moved[run["cell"][moved] == cell]
        run["model"][mine] = frontier_of(company, cell)
    run["reasoning"][moved] = 0
    _mark(run, at, incident)


def _output_double(run: Calls, at: Places, incident: Incident, _company: Company, _rng: Rng) -> None:
    _answers(run, at, np.full(len(at), 2.0))
    _mark(run, at, incident)


def _output_ramp(run: Calls, at: Places, incident: Incident, _company: Company, _rng: Rng) -> None:
    _answers(run, at, OUTPUT_PER_DAY ** ((run["time_ms"][at] - incident.start_ms) / DAY_MS))
    _mark(run, at, incident)


def _answers(run: Calls, at: Places, factor: npt.NDArray[np.float64]) -> None:
    run["output"][at] = np.minimum((run["output"][at] * factor).round(), OUTPUT_MAX)
    run["reasoning"][at] = np.minimum(run["reasoning"][at] * factor, run["output"][at])


def _surge(run: Calls, at: Places, incident: Incident, _company: Company, rng: Rng) -> Calls:
    """Every call of the scope comes `factor` times, within five minutes of itself."""
    extra = run[np.repeat(at, int(incident.settings["factor"]) - 1)]
    moved = extra["time_ms"] + rng.integers(-5 * MINUTE_MS, 5 * MINUTE_MS, len(extra))
    extra["time_ms"] = np.clip(moved, incident.start_ms, incident.end_ms - 1)
    extra["user"] = rng.integers(0, 200, len(extra))
    return extra


def _burn(run: Calls, at: Places, incident: Incident, _company: Company, rng: Rng) -> Calls:
    """`factor` times the scope's usual ten minutes, from a few users."""
    near = _around(run, incident)
    length_ms = incident.end_ms - incident.start_ms
    usual = len(near) * length_ms / (2 * AROUND_MS)
    count = max(round((incident.settings["factor"] - 1) * max(usual, len(at))), 30)
    extra = run[rng.choice(near, count)] if len(near) else run[:0].copy()
    extra["time_ms"] = incident.start_ms + rng.integers(0, length_ms, len(extra))
    extra["user"] = rng.integers(0, 3, len(extra))
    extra["attempt"] = 1
    return extra


AROUND_MS: Final = 2 * 3_600_000


def _around(run: Calls, incident: Incident) -> Places:
    """Calls of the scope within two hours of the start."""
    inside = np.abs(run["time_ms"] - incident.start_ms) < AROUND_MS
    return np.flatnonzero(inside & np.isin(run["cell"], incident.cells) & (run["incident"] < 0))


def _price(run: Calls, at: Places, incident: Incident, _company: Company, _rng: Rng) -> None:
    _mark(run, at, incident)


def _agent_loop(_run: Calls, _at: Places, incident: Incident, company: Company, rng: Rng) -> Calls:
    """One run that repeats a few tool calls; its context grows with every step."""
    steps = int(incident.settings["steps"])
    calls = new(steps)
    calls["time_ms"] = incident.start_ms + np.cumsum(rng.integers(*LOOP_STEP_MS, steps))
    grown = rng.integers(12_000, 30_000) + np.cumsum(rng.integers(*LOOP_MORE_TOKENS, steps))
    calls["input"] = np.minimum(grown, CONTEXT_MAX)
    calls["cached"] = (calls["input"] * 0.93).astype(np.int64) * (rng.random(steps) < 0.97)
    calls["output"] = rng.integers(60, 400, steps)
    calls["step"] = np.arange(1, steps + 1)
    calls["run"] = EXTRA_RUNS + RUNS_PER_INCIDENT * incident.number
    calls["signature"] = rng.choice(rng.integers(0, 2**48, LOOP_SIGNATURES), steps)
    return _of_agents(calls, incident, company, rng)


def _fan_out(_run: Calls, _at: Places, incident: Incident, company: Company, rng: Rng) -> Calls:
    """One run starts `runs` sub-agents within a minute; each makes 8 to 20 calls."""
    count, first = int(incident.settings["runs"]), EXTRA_RUNS + RUNS_PER_INCIDENT * incident.number
    sizes = rng.integers(8, 21, count)
    calls = new(int(sizes.sum()) + 1)
    child = calls[1:]
    of_run = np.repeat(np.arange(count), sizes)
    starts = incident.start_ms + np.sort(rng.integers(0, MINUTE_MS, count))
    step = np.arange(len(child)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    child["time_ms"] = starts[of_run] + 1_500 + 12_000 * step + rng.integers(0, 6_000, len(child))
    child["run"], child["parent"], child["depth"] = first + 1 + of_run, first, 1
    child["step"] = step + 1
    child["input"] = 9_000 + rng.integers(0, 12_000, count)[of_run] + 900 * step
    child["cached"] = np.where(step > 0, child["input"] * 0.85, 0)
    child["output"] = rng.integers(80, 500, len(child))
    child["signature"] = signatures(len(child), rng)
    calls["time_ms"][0], calls["run"][0], calls["step"][0] = incident.start_ms, first, 1
    calls["input"][0], calls["output"][0] = 20_000, 400
    return _of_agents(calls, incident, company, rng)


def _of_agents(calls: Calls, incident: Incident, company: Company, rng: Rng) -> Calls:
    """The cell, its usual model, and what the loop's and the fan-out's calls have in common."""
    cell = incident.cells[0]
    calls["cell"], calls["model"] = cell, FEATURES[company.cells[cell].feature].usual
    calls["user"] = rng.integers(0, 40)
    calls["latency_ms"] = 800 + 15 * calls["output"]
    return calls


Effect = Callable[[Calls, Places, Incident, Company, Rng], Calls | None]

EFFECTS: Final[dict[str, Effect]] = {
    "prompt_step": _prompt_step,
    "prompt_ramp": _prompt_ramp,
    "cache_drop": _cache_drop,
    "retry_storm": _retry_storm,
    "tier_shift": _tier_shift,
    "output_double": _output_double,
    "output_ramp": _output_ramp,
    "surge": _surge,
    "price": _price,
    "agent_loop": _agent_loop,
    "fan_out": _fan_out,
    "burn": _burn,
}
