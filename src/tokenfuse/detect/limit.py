"""What every comparison of a mean or a share with an explicit limit comes to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenfuse.detect.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class LimitScore:
    """Verdicts of one rule on n scopes.

    Attributes:
        fires: bool[n].
        value: float64[n], what is compared; 0 where there is nothing to compare.
        excess_nanousd: int64[n], dollars above what the limit is about; 0 where only the size of an estimate is known.
    """

    fires: BoolArray
    value: FloatArray
    excess_nanousd: IntArray


def quotient(part: IntArray, whole: IntArray) -> FloatArray:
    """Part over whole, float64[n]; 0 where the whole is not above 0 (nothing was called, or it was taken out again)."""
    found: FloatArray = np.where(whole > 0, part / np.maximum(whole, 1), 0.0)
    return found
