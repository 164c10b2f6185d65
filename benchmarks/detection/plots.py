"""Two plots for docs/detection.md: one incident with what is usual and its alert, and all methods on one plane.

python -m benchmarks.detection.plots --seed 1 --method tokenfuse --to docs/img
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import msgspec
import numpy as np
from benchmarks.detection import labels, methods
from benchmarks.detection.clock import HOUR_MS, START_MS
from benchmarks.detection.company import SCOPES
from benchmarks.detection.judge import Judgement, Verdict
from benchmarks.detection.labels import Label
from benchmarks.detection.panes import JUDGED_PANE, PANES_PER_HOUR, cost_of_scopes, scopes_of
from benchmarks.detection.table import WEEKS, found, verdicts
from benchmarks.detection.traces import Floats

mpl.use("Agg")

from matplotlib import pyplot as plt, ticker

HOURS_BEFORE, HOURS_AFTER = 48, 24


def plane(judgements: Sequence[Judgement], path: Path) -> None:
    """Recall over false alarms of every method; beside each point its recall by chance as a cross."""
    figure, axis = plt.subplots(figsize=(7, 4.5))
    for method in dict.fromkeys(judgement.method for judgement in judgements):
        mine = [judgement for judgement in judgements if judgement.method == method]
        some = verdicts(mine)
        false = sum(j.false_all for j in mine) / (len(mine) * SCOPES * WEEKS)
        recall = sum(map(found, some)) / max(len(some), 1)
        points = axis.plot(max(false, 1e-3), recall, "o")
        chance = sum(verdict.by_chance for verdict in some) / max(len(some), 1)
        axis.plot(max(false, 1e-3), chance, "x", color=points[0].get_color())
        axis.annotate(
            method, (max(false, 1e-3), recall), textcoords="offset points", xytext=(6, 4), fontsize=8
        )
    axis.set(
        xscale="log",
        ylim=(0, 1.05),
        xlabel="false pages and tickets per scope and week",
        ylabel="share of incidents found (cross: by chance)",
    )
    axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def incident(label: Label, verdict: Verdict, hours: Floats, path: Path) -> None:
    """Hourly dollars of the incident's scope, what the hour of the day usually costs, and the first alert."""
    learned = hours[: JUDGED_PANE // PANES_PER_HOUR].reshape(-1, 24)
    low, middle, high = np.quantile(learned, [0.05, 0.5, 0.95], axis=0)
    start, end = (int((ms - START_MS) // HOUR_MS) for ms in (label.start_ms, label.end_ms))
    shown = np.arange(max(start - HOURS_BEFORE, 0), min(end + HOURS_AFTER, len(hours)))
    days = shown / 24
    figure, axis = plt.subplots(figsize=(9, 4))
    axis.fill_between(
        days, low[shown % 24], high[shown % 24], alpha=0.25, label="9 of 10 learned days, this hour"
    )
    axis.plot(days, middle[shown % 24], "--", linewidth=1, label="median of the learned days")
    axis.plot(days, hours[shown], linewidth=1.3, color="black", label="dollars per hour")
    axis.axvspan(start / 24, (end + 1) / 24, color="orange", alpha=0.2, label=f"incident: {label.kind}")
    if verdict.delay_ms is not None:
        at = (label.start_ms + verdict.delay_ms - START_MS) / (24 * HOUR_MS)
        axis.axvline(at, color="red", label=f"first alert: {verdict.first_rule}")
    scope = ", ".join(f"{axis_}={value}" for axis_, value in label.scope.items()) or "everything"
    axis.set(xlabel="day", ylabel="US dollars per hour", title=scope)
    axis.legend(fontsize=8, loc="upper left")
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def main(arguments: list[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection.plots")
    parser.add_argument("--out", type=Path, default=Path("build/detection"), help="where the seeds are")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--method", default="tokenfuse")
    parser.add_argument("--kind", default="output_double", help="kind of the incident that is shown")
    parser.add_argument("--to", type=Path, default=Path("docs/img"))
    options = parser.parse_args(arguments)
    options.to.mkdir(parents=True, exist_ok=True)
    judged = [
        msgspec.json.decode(file.read_bytes(), type=Judgement)
        for file in sorted(options.out.glob("seed-*/judged-*.json"))
    ]
    plane(judged, options.to / "detection-methods.png")
    directory = options.out / f"seed-{options.seed}"
    seed = methods.Seed(directory, labels.read(directory / "labels.json"))
    mine = next(j for j in judged if j.seed == options.seed and j.method == options.method)
    pairs = zip(seed.labels.incidents, mine.verdicts, strict=True)
    label, verdict = next(pair for pair in pairs if pair[0].kind == options.kind)
    scopes = scopes_of(seed.company)
    cost = cost_of_scopes(seed.company, seed.calls["run"], scopes)[scopes.axes.index(label.scope)]
    hours = cost.reshape(-1, PANES_PER_HOUR).sum(1)
    incident(label, verdict, hours, options.to / "detection-incident.png")


if __name__ == "__main__":
    main(sys.argv[1:])
