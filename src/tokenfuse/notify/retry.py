"""Retry policy: exponential back-off with jitter, the receiver's own wish first, and an end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from random import Random

    from tokenfuse.notify.contract import Retry


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How long to wait before the next try, and when to give up.

    Attributes:
        base_seconds, cap_seconds: first and longest back-off.
        wish_seconds_max: a longer Retry-After is cut to this, so that a broken proxy cannot silence us for a day.
        age_seconds_max: an alert older than this, counted from its first try, is given up; an hour outlives a
            receiver's usual incident, and after that the figures in it are history.
        tries_max: the second bound, should the clock stand.
    """

    base_seconds: float = 1.0
    cap_seconds: float = 60.0
    wish_seconds_max: float = 300.0
    age_seconds_max: float = 3600.0
    tries_max: int = 200

    def delay_seconds(self, retry: Retry, tries: int, rng: Random) -> float:
        """Seconds until the next try, after `tries` failed ones; never less than the receiver asked for."""
        backoff = min(self.cap_seconds, self.base_seconds * 2.0 ** min(tries - 1, 30))
        jittered = backoff * rng.uniform(0.5, 1.0)
        return max(jittered, min(retry.after_seconds or 0.0, self.wish_seconds_max))

    def is_over(self, tries: int, age_seconds: float) -> bool:
        """Whether to give up."""
        return tries >= self.tries_max or age_seconds >= self.age_seconds_max
