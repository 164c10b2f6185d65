"""The plot of docs/benchmarks.md: events a second of every contender, each round a dot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.speed.contender import Run
from benchmarks.speed.ratios import spread
from benchmarks.speed.results import Results
from benchmarks.speed.row import Figures

NAMES: Final = {
    "consumer": "aiokafka, decode only",
    "contract": "aiokafka, decode our struct",
    "bytewax bare": "Bytewax, bare sums",
    "bare": "aiokafka, bare sums",
    "ingest": "TokenFuse ingest",
    "bytewax own-source": "Bytewax, own source",
    "bytewax lean": "Bytewax, six sums",
    "bytewax columns": "Bytewax, the same job",
    "bytewax plain": "Bytewax, dictionaries",
    "bytewax operators": "Bytewax, keyed operators",
    "faust": "Faust agent per event",
}
OURS: Final = "ingest"


def rates(rounds: Sequence[Figures]) -> dict[str, list[float]]:
    """Events a second by contender, those that were measured, the fastest last."""
    found = {name: [Run(**figures[name]).rate for figures in rounds if name in figures] for name in NAMES}
    measured = {name: values for name, values in found.items() if values}
    return dict(sorted(measured.items(), key=lambda item: spread(item[1]).median))


def plot(results: Results, file: Path) -> None:
    """Write the picture; nothing where nothing is measured."""
    rounds = results.rounds("ingest")
    if not rounds:
        return
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")

    measured = rates(rounds)
    figure, axes = plt.subplots(figsize=(9, 0.45 * len(measured) + 1.2), dpi=120)
    for place, (name, values) in enumerate(measured.items()):
        colour = "#c2410c" if name == OURS else "#64748b"
        axes.barh(place, spread(values).median / 1000, color=colour, alpha=0.75)
        axes.scatter([value / 1000 for value in values], [place] * len(values), color="black", s=9, zorder=3)
    axes.set_yticks(range(len(measured)), [NAMES[name] for name in measured])
    axes.set_xlabel("thousand events a second on one core; bar: median, dots: rounds")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    plt.close(figure)
