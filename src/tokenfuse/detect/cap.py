"""Hard caps: exact spend against an exact limit."""

from __future__ import annotations

from typing import Final

from tokenfuse.detect.arrays import BoolArray, IntArray

NO_LIMIT: Final = -1


def breached(spend_nanousd: IntArray, limit_nanousd: IntArray) -> BoolArray:
    """Which scopes are over their cap.

    Args:
        spend_nanousd: int64[n], the exact sum of the cap's window.
        limit_nanousd: int64[n]; NO_LIMIT where the scope has none.

    Returns:
        bool[n]; a scope that spent its limit to the nano-dollar is not over it, so a limit of 0 allows free calls.
    """
    over: BoolArray = (limit_nanousd != NO_LIMIT) & (spend_nanousd > limit_nanousd)
    return over
