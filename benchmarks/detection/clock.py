"""The simulated calendar: 28 days from a Monday, two weeks to learn from and two to be judged on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zlib import crc32

import numpy as np

START_MS: Final = int(datetime(2025, 11, 3, tzinfo=UTC).timestamp() * 1000)
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
WEEK_MS: Final = 7 * DAY_MS
LEARNED_DAYS: Final = 14
JUDGED_DAYS: Final = 14
JUDGED_MS: Final = START_MS + LEARNED_DAYS * DAY_MS
END_MS: Final = JUDGED_MS + JUDGED_DAYS * DAY_MS


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers that depend on the seed and on what they are for, not on the order of drawing."""
    return np.random.default_rng([seed, crc32(name.encode())])
