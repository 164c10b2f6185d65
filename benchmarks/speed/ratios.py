"""Medians and spreads of figures and of ratios. A ratio is taken within a round: what slows a machine slows both sides."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from msgspec import Struct


class Spread(Struct, frozen=True):
    """Middle, least and largest of some figures, and how many there were."""

    median: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        if self.count == 1:
            return "one round"
        return f"{short(self.low)}-{short(self.high)}"


def spread(figures: Sequence[float]) -> Spread:
    """Of one figure or more.

    >>> spread([3.0, 1.0, 2.0])
    Spread(median=2.0, low=1.0, high=3.0, count=3)
    """
    return Spread(median(figures), min(figures), max(figures), len(figures))


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Of the ratios of each round; both in the order of their rounds."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def short(figure: float) -> str:
    """Three digits, thousands apart.

    >>> [short(x) for x in (0.01234, 1.5, 27.31, 123456)]
    ['0.0123', '1.5', '27.3', '123,000']
    """
    if abs(figure) >= 1000:
        return f"{float(f'{figure:.3g}'):,.0f}"
    return f"{figure:.3g}"
