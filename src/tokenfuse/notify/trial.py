"""Trial: a test alert, opened and resolved, through one receiver. Marked as a test wherever it shows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from tokenfuse.contracts.alert import Alert, DriverUsd
from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.scope import fingerprint
from tokenfuse.notify.contract import Delivered, Failed, Reason, Retry, record_of
from tokenfuse.notify.view import TEST_RULE

if TYPE_CHECKING:
    from random import Random

    from tokenfuse.notify.contract import DeliveryRecord, Notifier, Outcome
    from tokenfuse.notify.retry import RetryPolicy

TRIAL_SECONDS_MAX: Final = 60.0


class TrialResult(Struct, frozen=True, kw_only=True):
    """What became of the test alert at one receiver; `reason` and `detail` where it was not delivered."""

    receiver: str
    delivered: bool
    reason: Reason | None = None
    detail: str = ""


def trial_alert(now_ms: int) -> Alert:
    """An alert that costs nothing and concerns nobody; each call makes a new incident."""
    at = to_rfc3339(now_ms)
    return Alert(
        fingerprint=fingerprint(TEST_RULE, ""),
        seq=0,
        rule=TEST_RULE,
        kind="novelty",
        driver="volume",
        scope={},
        state="firing",
        starts_at=at,
        at=at,
        severity="page",
        value=0.0,
        threshold=0.0,
        unit="count",
        excess_usd="0",
        excess_usd_per_hour="0",
        summary="This is a test of `tokenfuse notify test`. Nothing is wrong, and it resolves itself at once.",
        drivers=(DriverUsd(driver="volume", usd="0"),),
    )


async def trial(notifier: Notifier, alert: Alert, policy: RetryPolicy, rng: Random) -> TrialResult:
    """Open and resolve the test alert at one receiver, with a few tries."""
    try:
        async with asyncio.timeout(TRIAL_SECONDS_MAX):
            opened = await _send(notifier, alert, None, policy, rng)
            if not isinstance(opened, Delivered):
                return _result(notifier, opened)
            resolved = replace(alert, seq=1, state="resolved")
            return _result(
                notifier,
                await _send(notifier, resolved, record_of(alert, opened.reference, 0.0), policy, rng),
            )
    except TimeoutError:
        return _result(
            notifier, Failed(reason=Reason.TIMEOUT, detail=f"not done in {TRIAL_SECONDS_MAX:.0f} s")
        )


async def _send(
    notifier: Notifier, alert: Alert, earlier: DeliveryRecord | None, policy: RetryPolicy, rng: Random
) -> Outcome:
    """Tries while the receiver's trouble may pass; what only an operator can heal is said at once."""
    for tries in range(1, policy.tries_max + 1):
        outcome = await notifier.send(alert, earlier)
        needs_operator = {Reason.AUTH_ERROR, Reason.CHANNEL_ERROR}
        if not isinstance(outcome, Retry) or outcome.reason in needs_operator or tries == policy.tries_max:
            break
        await asyncio.sleep(policy.delay_seconds(outcome, tries, rng))
    return outcome


def _result(notifier: Notifier, outcome: Outcome) -> TrialResult:
    if isinstance(outcome, Delivered):
        return TrialResult(receiver=notifier.name, delivered=True)
    return TrialResult(receiver=notifier.name, delivered=False, reason=outcome.reason, detail=outcome.detail)
