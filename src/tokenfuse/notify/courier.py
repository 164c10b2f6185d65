"""Courier: sends what is due to one integration, retries, and gives up loudly, never silently."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from tokenfuse.notify.contract import Delivered, Failed, Reason, Retry

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tokenfuse.notify.contract import Notifier, Outcome
    from tokenfuse.notify.outbox import Outbox, Pending
    from tokenfuse.notify.retry import RetryPolicy

SEND_SECONDS_MAX: Final = 60.0
"""An integration bounds its own calls; this is for one that does not."""

log = structlog.get_logger(__name__)


class Observer(Protocol):
    """Where outcomes are counted."""

    def delivered(self, integration: str) -> None:
        """One notification reached the receiver."""

    def given_up(self, integration: str, reason: Reason) -> None:
        """An alert will not be told, for the reason of its last try."""


class Courier:
    """One integration's way out of its outbox.

    Args:
        now_seconds: monotonic clock.
        rng: jitter.
    """

    def __init__(
        self,
        notifier: Notifier,
        outbox: Outbox,
        policy: RetryPolicy,
        observer: Observer,
        now_seconds: Callable[[], float],
        rng: Random,
    ) -> None:
        self.notifier = notifier
        self.outbox = outbox
        self._policy = policy
        self._observer = observer
        self._now = now_seconds
        self._rng = rng

    async def step(self) -> bool:
        """Send one transition if one is due; says whether it did."""
        pending = self.outbox.due(self._now())
        if pending is None:
            return False
        pending.in_flight = True
        pending.tries += 1
        if pending.first_try_seconds is None:
            pending.first_try_seconds = self._now()
        outcome = await self._send(pending)
        self._settle(pending, outcome)
        return True

    def wait_seconds(self) -> float | None:
        """How long until something is due; None: until something is offered."""
        due_at = self.outbox.due_at_seconds()
        return None if due_at is None else max(0.0, due_at - self._now())

    async def _send(self, pending: Pending) -> Outcome:
        try:
            async with asyncio.timeout(SEND_SECONDS_MAX):
                return await self.notifier.send(pending.alert, self.outbox.record(pending.alert))
        except TimeoutError:
            return Retry(
                after_seconds=None, reason=Reason.TIMEOUT, detail=f"no answer in {SEND_SECONDS_MAX:.0f} s"
            )
        except Exception as error:
            # A fault of ours with this one alert must not stop the others.
            log.exception(
                "notifier_failed", integration=self.notifier.name, fingerprint=pending.alert.fingerprint
            )
            return Failed(
                reason=Reason.INTERNAL_ERROR, detail=f"{type(error).__name__}: {error}; please report it"
            )

    def _settle(self, pending: Pending, outcome: Outcome) -> None:
        match outcome:
            case Delivered(reference=reference):
                self.outbox.delivered(pending, reference, self._now())
                self._observer.delivered(self.notifier.name)
            case Retry():
                self._retry(pending, outcome)
            case Failed():
                self._give_up(pending, outcome)

    def _retry(self, pending: Pending, retry: Retry) -> None:
        # Not from when it was read: behind a slow receiver's queue the first try may come late, and is then the first.
        first_try_seconds = (
            pending.first_try_seconds if pending.first_try_seconds is not None else self._now()
        )
        if self._policy.is_over(pending.tries, self._now() - first_try_seconds):
            self._give_up(pending, retry)
            return
        delay = self._policy.delay_seconds(retry, pending.tries, self._rng)
        self.outbox.postpone(pending, self._now() + delay, everything=retry.reason is Reason.RATE_LIMITED)
        log.warning("notification_retried", delay_seconds=round(delay, 1), **self._fields(pending, retry))

    def _give_up(self, pending: Pending, outcome: Retry | Failed) -> None:
        self.outbox.given_up(pending)
        self._observer.given_up(self.notifier.name, outcome.reason)
        log.error(
            "notification_given_up",
            advice="nobody was told: read the summary here, then run `tokenfuse notify test`",
            summary=pending.alert.summary,
            scope=pending.alert.scope,
            **self._fields(pending, outcome),
        )

    def _fields(self, pending: Pending, outcome: Retry | Failed) -> dict[str, object]:
        return {
            "integration": self.notifier.name,
            "fingerprint": pending.alert.fingerprint,
            "state": pending.alert.state,
            "reason": outcome.reason.value,
            "detail": outcome.detail,
            "tries": pending.tries,
        }
