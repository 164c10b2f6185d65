"""Decision: may this call go ahead? And what the caller is told where it may not.

A refusal is never worth a retry: SDKs retry 408, 409, 429 and 5xx by themselves, so it is a 402 with a structured
reason and without Retry-After.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from tokenfuse.contracts.killswitch import Action, Switch

REFUSED_STATUS: Final = 402
Code = Literal["tokenfuse_blocked", "tokenfuse_throttled", "tokenfuse_view_stale"]


class Decision(Struct, frozen=True, kw_only=True):
    """Answer of `Gateway.check`.

    Attributes:
        action: of the switch that decided, even if the call may go ahead (`warn`, `downgrade`, an admitted `throttle`).
        reason: for a person; empty where no switch matches.
        scope, rule, expires_at, generation: of that switch; `expires_at` is RFC 3339.
        downgrade_to: the model to call instead, for action `downgrade`.
        code, http_status: of a refusal.
        stale: the view is older than it may be, so switches engaged since are not known.
        shadow: the strongest matching switch in shadow mode, which decides nothing.
    """

    allowed: bool
    action: Action | None = None
    reason: str = ""
    scope: Mapping[str, str] | None = None
    rule: str | None = None
    expires_at: str | None = None
    generation: int | None = None
    downgrade_to: str | None = None
    code: Code | None = None
    http_status: int | None = None
    stale: bool = False
    shadow: Switch | None = None

    @property
    def would_block(self) -> bool:
        """Whether a switch in shadow mode would have refused the call, or, for `throttle`, might have."""
        return self.shadow is not None and self.shadow.action in ("block", "throttle")


ALLOWED: Final = Decision(allowed=True)
ALLOWED_STALE: Final = Decision(allowed=True, stale=True)


def decided_alone(switch: Switch) -> Decision | None:
    """What a switch decides where no other matches and the view is fresh; None where that depends on the moment."""
    if switch.mode == "shadow" or switch.action == "throttle":
        return None
    answer = refused_by if switch.action == "block" else allowed_by
    return answer(switch, stale=False, shadow=None)


def allowed_by(switch: Switch, *, stale: bool, shadow: Switch | None) -> Decision:
    """The call goes ahead, and the caller should know of the switch."""
    return _of(switch, allowed=True, code=None, stale=stale, shadow=shadow)


def refused_by(switch: Switch, *, stale: bool, shadow: Switch | None) -> Decision:
    """The call is refused because of a switch."""
    code: Code = "tokenfuse_throttled" if switch.action == "throttle" else "tokenfuse_blocked"
    return _of(switch, allowed=False, code=code, stale=stale, shadow=shadow)


def refused_stale(scope: Mapping[str, str], shadow: Switch | None) -> Decision:
    """The call is refused because nobody knows whether it may go ahead, and its scope asks for certainty."""
    reason = "the kill-switch view is stale, and this scope is set to refuse calls then"
    return Decision(
        allowed=False, reason=reason, scope=scope, code="tokenfuse_view_stale", http_status=REFUSED_STATUS,
        stale=True, shadow=shadow,
    )  # fmt: skip


def message(decision: Decision) -> str:
    """What the user of the gateway reads: why, and until when.

    >>> message(Decision(allowed=False, code="tokenfuse_blocked", reason="over the cap", scope={"tenant": "acme"},
    ...                  expires_at="2025-11-24T16:00:00Z"))
    'Blocked by TokenFuse (tenant acme) until 2025-11-24T16:00:00Z: over the cap. A retry before then is refused too.'
    """
    who = (
        ", ".join(f"{axis} {value}" for axis, value in sorted((decision.scope or {}).items())) or "all calls"
    )
    why = decision.reason.rstrip(".")
    if decision.code == "tokenfuse_view_stale":
        return f"Refused by TokenFuse ({who}): {why}. Tell whoever runs this gateway; a retry does not help."
    if decision.code == "tokenfuse_throttled":
        return (
            f"Throttled by TokenFuse ({who}) until {decision.expires_at}: {why}. "
            "Only few calls a minute are let through until then; this one was not, and retrying at once does not help."
        )
    return f"Blocked by TokenFuse ({who}) until {decision.expires_at}: {why}. A retry before then is refused too."


def refusal_body(decision: Decision) -> dict[str, Any]:
    """JSON body of a refusal, in the shape that model providers and their SDKs use for errors."""
    return {
        "error": {
            "message": message(decision),
            "type": "tokenfuse_refusal",
            "param": None,
            "code": decision.code,
            "retryable": False,
            "action": decision.action,
            "reason": decision.reason,
            "scope": dict(decision.scope or {}),
            "rule": decision.rule,
            "expires_at": decision.expires_at,
            "generation": decision.generation,
        }
    }


def _of(switch: Switch, *, allowed: bool, code: Code | None, stale: bool, shadow: Switch | None) -> Decision:
    return Decision(
        allowed=allowed, action=switch.action, reason=switch.reason, scope=switch.scope, rule=switch.rule,
        expires_at=switch.expires_at, generation=switch.generation, downgrade_to=switch.downgrade_to, code=code,
        http_status=None if allowed else REFUSED_STATUS, stale=stale, shadow=shadow,
    )  # fmt: skip
