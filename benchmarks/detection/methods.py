"""Everything that is judged: the product through its own command, and the baselines on panes of the same calls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from benchmarks.detection import baselines, company as companies, recipe, simulate
from benchmarks.detection.alerts import Raised
from benchmarks.detection.calls import Calls
from benchmarks.detection.labels import Labels
from benchmarks.detection.panes import cost_of_scopes, scopes_of
from benchmarks.detection.replays import INPUTS, begin_both, replay

RECIPE: Final = "recipe"
BASELINES: Final = (*baselines.METHODS, RECIPE)


@dataclass
class Seed:
    """One simulated seed; its calls are drawn again when a baseline asks for them."""

    directory: Path
    labels: Labels

    @cached_property
    def company(self) -> companies.Company:
        """The company of the seed."""
        return companies.found(self.labels.seed)

    @cached_property
    def calls(self) -> dict[str, Calls]:
        """Calls of the run, the counterfactual and the null run."""
        base, run, _ = simulate.both(self.company, self.labels.wanted)
        return {"run": run, "counterfactual": base, "null": simulate.steady(self.company, self.labels.wanted)}


Alerts = dict[str, list[Raised]]
"""Alerts of the run, the counterfactual and, where it was asked for, the null run."""


def product(seed: Seed, method: str, rules: Path, *, null: bool) -> Alerts:
    """Alerts of `tokenfuse replay` with these rules."""
    names = [name for name in INPUTS if null or name != "null"]
    begin_both(seed.directory, rules, method)
    return {name: replay(seed.directory, name, rules, method) for name in names}


def baseline(seed: Seed, method: str) -> Alerts:
    """Alerts of a baseline."""
    if method == RECIPE:
        return {name: recipe.alerts(seed.company, calls) for name, calls in seed.calls.items()}
    scopes = scopes_of(seed.company)
    return {
        name: baselines.alerts(method, cost_of_scopes(seed.company, calls, scopes), scopes)
        for name, calls in seed.calls.items()
    }
