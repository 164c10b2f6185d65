"""Sketch of an agent's tool calls: one additive integer per run that tells whether it makes the same call again and again.

The tug-of-war sketch of Alon, Matias and Szegedy (STOC 1996): each distinct tool call is +1 or -1, by its hash, in each of
four sums, which stand side by side in one integer, 16 bits each. The square of a sum estimates the sum of squares of how
often each distinct call was made: n for n different calls, n * n for n times the same. Sums can be added, in any order,
and taken out again; nothing needs to be remembered of a run but the integer.
"""

from __future__ import annotations

import hashlib
from typing import Final

SUMS: Final = 4
BITS: Final = 16
"""Of one sum: exact up to 32,767 tool calls of one run."""


def sketch_of(signature: str) -> int:
    """What one tool call adds.

    >>> sum(sketch_of("search(x)") for _ in range(3)) == 3 * sketch_of("search(x)")
    True
    """
    drawn = hashlib.blake2b(signature.encode(errors="surrogatepass"), digest_size=1).digest()[0]
    return sum((1 if drawn >> i & 1 else -1) << (BITS * i) for i in range(SUMS))
