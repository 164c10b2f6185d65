"""Which values of the other axes an excess comes from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final

from tokenfuse.contracts.scope import parse_scope_key
from tokenfuse.contracts.signal import Contributor

PER_AXIS_MAX: Final = 3
"""As many as a person reads in a page."""


def contributors(
    excess_nanousd: Sequence[int],
    cell_keys: Sequence[str],
    known: Collection[str] = (),
    per_axis_max: int = PER_AXIS_MAX,
) -> tuple[Contributor, ...]:
    """The largest positive parts of a scope's excess, per axis of its cells.

    Args:
        excess_nanousd: k integers, the scope's excess by cell (as in `DriftScore.pair_excess_nanousd`).
        cell_keys: k canonical scope keys of these cells.
        known: axes that the scope itself names; they contribute no news and are left out.
        per_axis_max: how many values per axis.

    Returns:
        By axis (alphabetically), then largest first; `share` is of the scope's whole excess, at most 1. Empty when
        the whole excess is not positive.
    """
    total = sum(int(part) for part in excess_nanousd)
    if total <= 0:
        return ()
    by_axis = _by_axis(excess_nanousd, cell_keys, known)
    return tuple(
        Contributor(axis, value, nanousd, min(1.0, nanousd / total))
        for axis in sorted(by_axis)
        for value, nanousd in _largest(by_axis[axis], per_axis_max)
    )


def _by_axis(
    excess_nanousd: Sequence[int], cell_keys: Sequence[str], known: Collection[str]
) -> dict[str, dict[str, int]]:
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for part, key in zip(excess_nanousd, cell_keys, strict=True):
        for axis, value in parse_scope_key(key).items():
            if axis not in known:
                sums[axis][value] += int(part)
    return sums


def _largest(parts: dict[str, int], most: int) -> list[tuple[str, int]]:
    """Largest first; equal ones by name, so that a replay says the same."""
    positive = [(value, nanousd) for value, nanousd in parts.items() if nanousd > 0]
    return sorted(positive, key=lambda item: (-item[1], item[0]))[:most]
