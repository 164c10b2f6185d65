"""Scores a detector of one series on the half of the Numenta Anomaly Benchmark in `data/nab`, with NAB's standard profile.

    python -m benchmarks.detection nab
    python -m benchmarks.detection nab --detector tokenfuse --nab DIRECTORY

A detector is a function `scores(values: float64[n], times_s: float64[n]) -> float64[n]`, higher is stranger, that may look
at no later value; `module:function` names one. One threshold holds for all files: the best one, as NAB does, beside the one
that is best on the other half of the files. The product's detector is `series.scores`. A sanity check by data that no one
here made, not the aim.
Method: Lavin and Ahmad, Evaluating Real-time Anomaly Detection Algorithms, ICMLA 2015, https://arxiv.org/abs/1510.03336
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from math import erfc
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from benchmarks.detection import series
from river import drift

DATA: Final = Path(__file__).parent / "data" / "nab"

PROBATION: Final = 0.15
PROBATION_ROWS_MAX: Final = 750
FALSE_WEIGHT: Final = 0.11
"""Standard profile: a false positive costs 0.11, a missed window 1, a window found at once earns 1."""
FAR: Final = 3.0
"""So many widths of the last window after it a false positive costs in full."""

Floats = npt.NDArray[np.float64]
Detector = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class Series:
    """One file.

    Attributes:
        values: float64[n]. times_s: float64[n]. windows: first and last row of each anomaly.
    """

    name: str
    values: Floats
    times_s: Floats
    windows: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Worth:
    """What detections at each row of one file are worth.

    Attributes:
        window: window of each row, -1: none. worth: of a detection there. first: rows before it are on probation.
    """

    window: npt.NDArray[np.int64]
    worth: Floats
    first: int
    windows: int


def read(directory: Path = DATA) -> list[Series]:
    """Every file with its windows."""
    windows = json.loads((directory / "combined_windows.json").read_text())
    return [_series(directory, name, windows[name]) for name in sorted(windows)]


def _series(directory: Path, name: str, windows: Sequence[Sequence[str]]) -> Series:
    packed = directory / f"{name}.gz"
    with (
        gzip.open(packed, "rt", encoding="utf-8", newline="")
        if packed.exists()
        else (directory / name).open(encoding="utf-8", newline="")
    ) as file:
        rows = [(_seconds(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
    times = np.array([time for time, _ in rows])
    limits = tuple(
        (
            int(np.searchsorted(times, _seconds(start))),
            int(np.searchsorted(times, _seconds(end), side="right")) - 1,
        )
        for start, end in windows
    )
    return Series(name, np.array([value for _, value in rows]), times, limits)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(f"{text}+00:00").timestamp()


def scaled_sigmoid(position: Floats) -> Floats:
    """Worth of a detection: almost 1 at a window's left edge (-1), 0 at its right edge (0), -1 far behind it.

    >>> scaled_sigmoid(np.array([-1.0, 0.0, 3.0])).round(5).tolist()
    [0.98661, 0.0, -1.0]
    """
    worth: Floats = np.where(position >= FAR, -1.0, 2 / (1 + np.exp(5 * np.minimum(position, FAR))) - 1)
    return worth


def worth_of(series: Series) -> Worth:
    """What each row's detection is worth in the standard profile."""
    n = len(series.values)
    rows = np.arange(n)
    window, position = np.full(n, -1), np.full(n, FAR)
    for number, (first, last) in enumerate(series.windows):
        width = last - first + 1
        after = rows > last
        position[after] = (rows[after] - last) / max(width - 1, 1)
        inside = (rows >= first) & (rows <= last)
        window[inside] = number
        position[inside] = -(last - rows[inside] + 1) / width
    best = float(scaled_sigmoid(np.array([-1.0]))[0])
    worth = scaled_sigmoid(position)
    worth = np.where(window >= 0, worth / best, FALSE_WEIGHT * worth)
    return Worth(window, worth, int(min(PROBATION * n, PROBATION_ROWS_MAX)), len(series.windows))


def raw_scores(scores: Floats, worth: Worth, thresholds: Floats) -> Floats:
    """Points of one file at each threshold: rows whose score reaches it are detections."""
    rows = np.arange(worth.first, len(scores))
    points = np.zeros(len(thresholds))
    false = rows[worth.window[rows] < 0]
    points += _at(scores[false], worth.worth[false], thresholds, np.cumsum, 0.0)
    for window in range(worth.windows):
        mine = rows[worth.window[rows] == window]
        points += _at(scores[mine], worth.worth[mine], thresholds, np.maximum.accumulate, -1.0)
    return points


def _at(
    scores: Floats, worth: Floats, thresholds: Floats, gather: Callable[[Floats], Floats], none: float
) -> Floats:
    """The worths of the rows that reach each threshold, gathered; `none` where no row does."""
    order = np.argsort(-scores, kind="stable")
    gathered = np.concatenate([[none], gather(worth[order])]) if len(order) else np.array([none])
    result: Floats = gathered[np.searchsorted(-scores[order], -thresholds, side="right")]
    return result


def standard_score(detector: Detector, corpus: Sequence[Series]) -> tuple[float, float]:
    """NAB's normalised score at the best threshold over all files, and that threshold.

    100: every window found at its first row and nothing else. 0: nothing is ever detected.
    """
    found = scored(detector, corpus)
    thresholds = candidates([scores for scores, _ in found])
    points = normalised(found, thresholds)
    best = int(np.argmax(points))
    return float(points[best]), float(thresholds[best])


Scored = list[tuple[Floats, Worth]]


def scored(detector: Detector, corpus: Sequence[Series]) -> Scored:
    """A detector's scores of every file, and what they are worth."""
    return [(detector(s.values, s.times_s), worth_of(s)) for s in corpus]


def normalised(found: Scored, thresholds: Floats) -> Floats:
    """NAB's normalised score at each threshold over all files."""
    points: Floats = np.sum([raw_scores(scores, worth, thresholds) for scores, worth in found], axis=0)
    windows = sum(worth.windows for _, worth in found)
    return 100 * (points + windows) / (2 * windows)


def at_each_other_half(found: Scored) -> float:
    """The same with thresholds chosen on the other half of the files: what choosing on the judged files flatters is gone."""
    thresholds, total, windows = candidates([scores for scores, _ in found]), 0.0, 0
    for first in (0, 1):
        judged, others = found[first::2], found[1 - first :: 2]
        threshold = thresholds[[int(np.argmax(normalised(others, thresholds)))]]
        count = sum(worth.windows for _, worth in judged)
        total += float(normalised(judged, threshold)[0]) * count
        windows += count
    return total / windows


def candidates(scores: Sequence[Floats]) -> Floats:
    """Every score that occurs, and one that is never reached."""
    return np.unique(np.concatenate([*scores, [np.inf]]))


# Detectors to compare with.


def silent(values: Floats, _times_s: Floats) -> Floats:
    """Detects nothing: NAB's zero."""
    return np.full(len(values), -np.inf)


GAUSSIAN_WINDOW: Final = 6_400
GAUSSIAN_STEP: Final = 100


def gaussian(values: Floats, _times_s: Floats) -> Floats:
    """Tail probability under a Gaussian of the last 6,400 values, renewed every 100: NAB's own simple detector."""
    total = np.concatenate([[0.0], values.cumsum()])
    square = np.concatenate([[0.0], (values**2).cumsum()])
    return np.array(list(_tails(values, total, square)))


def _tails(values: Floats, total: Floats, square: Floats) -> Iterator[float]:
    for i, value in enumerate(values.tolist()):
        end = i if i <= GAUSSIAN_WINDOW else i - (i - GAUSSIAN_WINDOW) % GAUSSIAN_STEP
        start = max(end - GAUSSIAN_WINDOW, 0)
        if end == start:
            yield 0.0
            continue
        mean = (total[end] - total[start]) / (end - start)
        deviation = max((square[end] - square[start]) / (end - start) - mean**2, 0.0) ** 0.5
        z = abs(value - mean) / max(deviation, 1e-6)
        yield 1 - 0.5 * erfc(z / 2**0.5)


def adwin(values: Floats, _times_s: Floats) -> Floats:
    """1 where river's ADWIN, at its usual settings, says that the mean has changed."""
    return _changes(drift.ADWIN(), values)


def page_hinkley(values: Floats, _times_s: Floats) -> Floats:
    """1 where river's PageHinkley, at its usual settings, says so; they are meant for values of unit spread."""
    first = values[: min(int(PROBATION * len(values)), PROBATION_ROWS_MAX)]
    return _changes(drift.PageHinkley(), (values - first.mean()) / max(float(first.std()), 1e-6))


def _changes(detector: drift.ADWIN | drift.PageHinkley, values: Floats) -> Floats:
    found = np.zeros(len(values))
    for row, value in enumerate(values.tolist()):
        detector.update(value)
        found[row] = detector.drift_detected
    return found


DETECTORS: Final[dict[str, Detector]] = {
    "silent": silent,
    "gaussian": gaussian,
    "adwin": adwin,
    "page-hinkley": page_hinkley,
    "tokenfuse": series.scores,
    "tokenfuse-records": series.scores_with_records,
}
SHIPPED: Final = {"tokenfuse": series.Z_MIN, "tokenfuse-records": 1.0}
"""Where the product's detector fires by the shipped thresholds; what the optimiser chooses is another figure."""


def main(arguments: list[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection nab")
    parser.add_argument(
        "--detector", action="append", default=[], help="module:function, or one of " + ", ".join(DETECTORS)
    )
    parser.add_argument("--nab", type=Path, default=DATA)
    options = parser.parse_args(arguments)
    corpus = read(options.nab)
    for name in options.detector or list(DETECTORS):
        found = scored(_detector(name), corpus)
        thresholds = candidates([scores for scores, _ in found])
        points = normalised(found, thresholds)
        best = int(np.argmax(points))
        print(f"{name}: {points[best]:.2f} at threshold {thresholds[best]:.6g}, {len(corpus)} files")
        print(f"  {at_each_other_half(found):.2f} with thresholds chosen on the other half of the files")
        if name in SHIPPED:
            print(f"  {normalised(found, np.array([SHIPPED[name]]))[0]:.2f} at the shipped thresholds")


def _detector(name: str) -> Detector:
    if name in DETECTORS:
        return DETECTORS[name]
    module, _, function = name.partition(":")
    found: Detector = getattr(import_module(module), function)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
