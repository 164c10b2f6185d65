"""From the switches that select a call to one decision. Pure but for the throttle's count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tokenfuse.contracts.killswitch import Switch
from tokenfuse.gateway.decision import (
    ALLOWED,
    ALLOWED_STALE,
    Decision,
    allowed_by,
    refused_by,
    refused_stale,
)
from tokenfuse.gateway.view import ACTIONS, Entry

if TYPE_CHECKING:
    from tokenfuse.gateway.throttle import Throttle


def judge(
    found: Sequence[Entry],
    throttle: Throttle,
    now_ms: int,
    *,
    stale: bool = False,
    closed: Mapping[str, str] | None = None,
) -> Decision:
    """The strongest switch decides: block, then throttle, then downgrade, then warn; shadow ones only report.

    Args:
        found: what `SwitchView.find` said.
        stale: the view may lack switches; those that it has still count until they expire.
        closed: the scope that wants refusal while the view is stale, if the call is inside one.
    """
    if len(found) == 1 and not stale and found[0].alone is not None:
        return found[0].alone
    ranked = sorted(found, key=_strength, reverse=True)
    shadow = next((entry.switch for entry in ranked if entry.switch.mode == "shadow"), None)
    enforced = [entry for entry in ranked if entry.switch.mode == "enforce"]
    for entry in enforced:
        action = entry.switch.action
        if action == "block" or (action == "throttle" and not throttle.admits(entry.key, now_ms)):
            return refused_by(entry.switch, stale=stale, shadow=shadow)
    if stale and closed is not None:
        return refused_stale(closed, shadow)
    if enforced:
        return allowed_by(_to_tell(enforced), stale=stale, shadow=shadow)
    if shadow is not None:
        return Decision(allowed=True, stale=stale, shadow=shadow)
    return ALLOWED_STALE if stale else ALLOWED


def selects(scope: Mapping[str, str], axes: Mapping[str, object]) -> bool:
    """Whether a scope selects a call."""
    return all(axes.get(axis) == value for axis, value in scope.items())


def _to_tell(enforced: Sequence[Entry]) -> Switch:
    """Of the switches that let a call through: the one that asks the gateway for something, else the strongest."""
    return next(
        (entry.switch for entry in enforced if entry.switch.action == "downgrade"), enforced[0].switch
    )


def _strength(entry: Entry) -> tuple[int, int, str]:
    """Of two alike, the one that lasts longer; then by key, so that every gateway names the same."""
    return ACTIONS.index(entry.switch.action), entry.expires_ms, entry.key
