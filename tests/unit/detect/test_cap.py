"""A cap is exact to the nano-dollar."""

from __future__ import annotations

import numpy as np
import pytest

from tokenfuse.detect.cap import NO_LIMIT, breached


@pytest.mark.parametrize(
    ("spend", "limit", "over"),
    [
        (25_000_000_000, 25_000_000_000, False),
        (25_000_000_001, 25_000_000_000, True),
        (0, 0, False),
        (1, 0, True),
        (2**62, NO_LIMIT, False),
        (-5, 0, False),
    ],
)
def test_a_scope_is_over_its_cap_from_the_first_nano_dollar_beyond_it(spend, limit, over):
    assert breached(np.array([spend]), np.array([limit])).tolist() == [over]


def test_every_scope_has_its_own_limit():
    assert breached(np.array([5, 5, 5]), np.array([4, 5, NO_LIMIT])).tolist() == [True, False, False]
