"""Array types of the detectors. Measures are rows in the order of `contracts.measures.MEASURES`."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]


def segment_sum(values: IntArray, segment: IntArray, segments: int) -> IntArray:
    """Exact integer sums per segment: int64[k] and int64[k] to int64[segments] (bincount would go through float)."""
    sums = np.zeros(segments, dtype=np.int64)
    np.add.at(sums, segment, values)
    return sums
