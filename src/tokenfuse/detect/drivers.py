"""Why, in dollars: the change of cost split into drivers that add up to it to the nano-dollar.

Price-volume-mix identity, summed over cells c of groups g (equal tenant, feature and template, different models):

    cost = sum  F_g     s_c    m_c    (q_c      d_c   + w o_c)   p_c
                volume  tier   retry   prompt   cache   output   price

F first attempts of the group, s the cell's share of them, m attempts per first attempt, q input tokens per call, d what
an input token weighs after cache discounts, o output tokens per call (w times as dear), p dollars per weighted token.
Every driver moves its own factor from the baseline's value to today's; Shapley's value averages its effect over all
orders in which they could have moved, so no order is preferred and nothing is left over (Shapley 1953; Shorrocks 2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import factorial
from typing import Final

import numpy as np

from tokenfuse.contracts.measures import INDEX
from tokenfuse.contracts.signal import DriverPart
from tokenfuse.detect.arrays import FloatArray, IntArray

DRIVERS: Final = ("volume", "retry", "tier", "prompt", "output", "cache", "price")

VOLUME: Final = "volume"

# Price of a token in input tokens. Providers differ (output 4 to 8, cache reads 0.1 to 0.5); the identity holds for any
# weights, since price is what is left: wrong ones only move some dollars between the token drivers and price.
# https://docs.claude.com/en/docs/about-claude/pricing
OUTPUT_WEIGHT: Final = 5.0
CACHE_READ_WEIGHT: Final = 0.1
CACHE_WRITE_WEIGHT: Final = 1.25


@dataclass(frozen=True, slots=True)
class Factors:
    """The identity's factors on one side, float64[c] each, by driver."""

    volume: FloatArray
    retry: FloatArray
    tier: FloatArray
    prompt: FloatArray
    output: FloatArray
    cache: FloatArray
    price: FloatArray


def spent_and_usual(now: IntArray, base: IntArray, base_scale: tuple[int, int]) -> tuple[int, int]:
    """Nano-dollars now, and of the baseline brought to the window's duration, rounded half-even; as `decompose`."""
    cost = INDEX["cost_nanousd"]
    return int(now[cost].sum()), round(int(base[cost].sum()) * Fraction(*base_scale))


def decompose(
    now: IntArray, base: IntArray, base_scale: tuple[int, int], group_of_cell: IntArray
) -> tuple[DriverPart, ...]:
    """Splits the change of cost between a baseline and now.

    Args:
        now: int64[M, c], sums of the scope's cells over the window.
        base: int64[M, c], sums of the same cells over the baseline.
        base_scale: numerator and denominator that bring the baseline to the window's duration, e.g.
            (window_seconds, baseline_seconds).
        group_of_cell: int64[c], the same number for equal tenant, feature and template.

    Returns:
        One part per entry of DRIVERS, in that order; their sum is exactly the difference of `spent_and_usual`. A cell without a past takes today's values, so a new group is volume and a new model in an
        old group is tier.
    """
    spent, usual = spent_and_usual(now, base, base_scale)
    parts = _shapley(*_sides(now, base, float(Fraction(*base_scale)), group_of_cell))
    return tuple(
        DriverPart(name, part) for name, part in zip(DRIVERS, _whole(parts, spent - usual), strict=True)
    )


def of_mixed_models(parts: tuple[DriverPart, ...]) -> tuple[DriverPart, ...]:
    """The parts of a cell that holds calls of several models: a dearer model and a dearer token are the same there."""
    nanousd = {part.driver: part.nanousd for part in parts}
    cost = nanousd.pop("tier") + nanousd.pop("price")
    return (*(DriverPart(driver, part) for driver, part in nanousd.items()), DriverPart("cost", cost))


def dominant(parts: tuple[DriverPart, ...]) -> str:
    """The driver with the largest part in the direction of the whole change; the earlier one of equals."""
    sign = 1 if sum(part.nanousd for part in parts) >= 0 else -1
    return max(parts, key=lambda part: sign * part.nanousd).driver


def _sides(now: IntArray, base: IntArray, scale: float, group: IntArray) -> tuple[Factors, Factors]:
    """Factors of the baseline and of today; where one side has no calls it takes the other's values."""
    (base_first, base_each), (now_first, now_each) = _per_call(base), _per_call(now)
    base_calls, now_calls = base_first > 0, now_first > 0
    old = {name: np.where(base_calls, base_each[name], now_each[name]) for name in base_each}
    new = {name: np.where(now_calls, now_each[name], base_each[name]) for name in now_each}
    old_volume, new_volume = _of_group(base_first, group), _of_group(now_first, group)
    old_share, new_share = base_first / np.maximum(old_volume, 1), now_first / np.maximum(new_volume, 1)
    return (
        Factors(volume=old_volume * scale, tier=np.where(old_volume > 0, old_share, new_share), **old),
        Factors(volume=new_volume, tier=np.where(new_volume > 0, new_share, old_share), **new),
    )


def _per_call(sums: IntArray) -> tuple[FloatArray, dict[str, FloatArray]]:
    """First attempts, float64[c], and the factors that are ratios, float64[c] each; any value where no calls."""
    calls, retries, cost, tokens_in, tokens_out, read, write = (
        sums[INDEX[name]].astype(np.float64) for name in
        ("calls", "retries", "cost_nanousd", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    )  # fmt: skip
    # A window may hold only the retries of earlier calls: then they count as first attempts.
    first = np.where(retries < calls, calls - retries, calls)
    some = np.maximum(calls, 1)
    weighed = tokens_in - (1 - CACHE_READ_WEIGHT) * read + (CACHE_WRITE_WEIGHT - 1) * write
    prompt, output = tokens_in / some, tokens_out / some
    # Calls without any token (images, fees) count as one token each, so that their whole price is in `price`.
    prompt = np.where(tokens_in + tokens_out > 0, prompt, 1.0)
    cache = np.where(tokens_in > 0, weighed / np.maximum(tokens_in, 1), 1.0)
    each = prompt * cache + OUTPUT_WEIGHT * output
    price = cost / (some * np.where(each > 0, each, 1.0))
    return first, {
        "retry": calls / np.maximum(first, 1),
        "prompt": prompt,
        "output": output,
        "cache": cache,
        "price": price,
    }


def _of_group(first: FloatArray, group: IntArray) -> FloatArray:
    """Each cell's group total: float64[c]."""
    totals: FloatArray = np.bincount(group, first, int(group.max(initial=-1)) + 1).astype(np.float64)
    return totals[group]


def _cost(old: Factors, new: Factors, moved: int) -> float:
    """Cost when the drivers whose bits are set have moved."""
    volume, retry, tier, prompt, output, cache, price = (
        getattr(new if moved >> bit & 1 else old, name) for bit, name in enumerate(DRIVERS)
    )
    return float((volume * retry * tier * (prompt * cache + OUTPUT_WEIGHT * output) * price).sum())


def _shapley(old: Factors, new: Factors) -> list[float]:
    """Each driver's average effect over all orders: 2^7 costs, then weights |S|! (n - |S| - 1)! / n!."""
    n = len(DRIVERS)
    cost = [_cost(old, new, moved) for moved in range(1 << n)]
    weight = [factorial(k) * factorial(n - k - 1) / factorial(n) for k in range(n)]
    return [
        sum(weight[s.bit_count()] * (cost[s | 1 << bit] - cost[s]) for s in range(1 << n) if not s >> bit & 1)
        for bit in range(n)
    ]


def _whole(parts: list[float], total: int) -> list[int]:
    """Integers near the parts that add up to the total: largest remainders get the odd nano-dollars."""
    floors = [int(np.floor(part)) for part in parts]
    each, odd = divmod(total - sum(floors), len(parts))
    by_remainder = sorted(range(len(parts)), key=lambda i: (floors[i] - parts[i], i))
    return [floor + each + (i in by_remainder[:odd]) for i, floor in enumerate(floors)]
