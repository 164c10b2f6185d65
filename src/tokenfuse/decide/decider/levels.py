"""Levels: how far a verdict is over its rule's threshold, and how many times the usual it says there is.

A verdict carries its value and its threshold. What is usual follows from the threshold and the rule, so that agents
need not say it, and the decider can hold a breach against what a person expects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenfuse.decide.decider.facts import VOLUME
from tokenfuse.detect.signals import LENGTHS

if TYPE_CHECKING:
    from tokenfuse.contracts.alert import Kind
    from tokenfuse.contracts.signal import Verdict
    from tokenfuse.decide.decider.facts import Facts

LEARNED: Final[frozenset[Kind]] = frozenset({"drift", "spike", "burst", "absence", "novelty"})
"""Kinds that compare a scope with its own past: people may know better than the past. All others have a limit that a
person set."""

ALWAYS: Final[frozenset[Kind]] = frozenset({"absence", "novelty"})
"""Kinds without a multiple: in a planned change they are expected whatever its factor."""

SHARES: Final = ("cache", "retry", "tier")
INFINITE: Final = float("inf")


def over(facts: Facts, verdict: Verdict) -> float:
    """How many times over its threshold a breach is; 1: at it. Drift counts the distance from the usual.

    A share that has to rise by 10 points and rose by 15 is 1.5 times over, as is a prompt 45 % longer where 30 % fire.
    """
    if not facts.signal or facts.signal == VOLUME:
        return _ratio(verdict.value, verdict.threshold)
    usual = _usual(facts, verdict)
    return _ratio(abs(verdict.value - usual), abs(verdict.threshold - usual))


def multiple(facts: Facts, verdict: Verdict) -> float:
    """How many times the usual a breach is; the cache: its misses. 0 where a kind knows no multiple.

    Shares are measured against at least the rule's least effect: from none to some is no infinite rise.
    """
    if facts.kind in ALWAYS:
        return 0.0
    if not facts.signal:
        return verdict.value  # spikes and bursts say a multiple of what is usual
    if facts.signal == VOLUME:
        return _ratio(verdict.value, verdict.threshold) * facts.effect_min
    now, usual = _costly(facts, verdict.value), _costly(facts, _usual(facts, verdict))
    return _ratio(now, max(usual, facts.effect_min) if facts.signal in SHARES else usual)


def level(facts: Facts, verdict: Verdict) -> float:
    """What a person accepts who calls a breach expected; larger costs more.

    Of drift the quantity itself (tokens, or a share; the cache: its misses), so that it stays what it was while the
    baseline learns; of kinds without a multiple that it is so at all, since a silence and what is new only grow; of all
    others times over the threshold.
    """
    if facts.kind in ALWAYS:
        return 1.0
    if not facts.signal or facts.signal == VOLUME:
        return over(facts, verdict)
    return _costly(facts, verdict.value)


def _usual(facts: Facts, verdict: Verdict) -> float:
    """Inverse of `detect.drift.threshold`."""
    if facts.signal in LENGTHS:
        return verdict.threshold / (1 + facts.effect_min)
    return verdict.threshold + (facts.effect_min if facts.signal == "cache" else -facts.effect_min)


def _costly(facts: Facts, value: float) -> float:
    return 1 - value if facts.signal == "cache" else value


def _ratio(value: float, base: float) -> float:
    return value / base if base > 0 else INFINITE
