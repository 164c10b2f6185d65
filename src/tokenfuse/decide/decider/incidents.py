"""Incidents: when one alert explains another, so that one page goes out for a tenant and not 400 for its users.

Why it is done this way:
- A person needs one message, about the scope where the money is. So an alert is explained by a larger one that its
  own money flows through, as the evidence in dollars says (contributors), never by names alone.
- An explanation must not hide news. A less severe alert never explains a more severe one, and an alert that has
  stood for a day does not explain what starts now: it was read and closed in the reader's mind. Unless it is the same
  cause and still goes on for everybody: a model that got dearer on Monday is what a tenant pays for who wakes up on
  Tuesday. What happens to one customer says nothing about the next, but all about this customer's features.
- What stops traffic is told. An alert whose switch is enforced is explained only by another such alert, or by one on
  the scope that owns it (the user of a run, the tenant of a user): 400 blocked users are still one page. A burst is
  but the first seconds of what a cap then stops, so it explains none.
- A prompt that grew and a cache that collapsed are two causes with two remedies, whatever scopes they share. Prompts and
  answers that get longer within the hour are one: the requests have changed.
- While calls are many times as many as ever, their make-up is not that of ordinary days. What drifts inside such a
  surge after it began is told when the surge is over, if it is still there; retries are not, since they make surges.
- Calls that do not come have no dollars that flow through anything, and a scope that costs more hides none that fell
  silent: only a silence explains a silence. Those that begin within minutes of each other are one, and its message counts them.
- A price that is wrong or unknown makes the other figures wrong too: nothing but the same finding explains it.
- Rungs of one ladder (budget at 50, 80, 100 %) are one story however far apart: the higher rung tells it.
- Who was told first stays told: between equals, an alert that people have seen keeps the incident.

`explains` and `rank` are the whole policy; `board` applies them. A better policy replaces this file.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from tokenfuse.contracts.axes import CELL_AXES
from tokenfuse.contracts.scope import axis_scope_key, parse_scope_key
from tokenfuse.decide.decider.facts import VOLUME
from tokenfuse.detect.signals import LENGTHS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenfuse.contracts.signal import Contributor
    from tokenfuse.decide.decider.state import AlertRecord

SAME_TIME_MS: Final = 6 * 3_600_000
"""Breaches whose beginnings lie further apart are two incidents: the slowest detectors are hours behind the fastest."""

CUSTOMERS: Final = frozenset({"tenant", "user", "run_id"})
LASTING: Final = frozenset({"drift", "price"})
"""Kinds whose cause has a name and goes on until somebody mends it; calls may become too many for many reasons."""

TOGETHER_MS: Final = 3_600_000
"""Prompts and answers of a scope that begin to grow within so long grow for one reason."""

OUTAGE_MS: Final = 600_000
"""Silences that begin within so long, the least that a silence has to last, begin for one reason."""

SEVERITIES: Final = {"info": 0, "ticket": 1, "page": 2}

MAKES_SURGES: Final = frozenset({VOLUME, "retry"})
"""Signals of drift that are the surge itself, or its cause."""

SPECIFIC: Final = ("run_id", "user", "prompt_template", "feature", "tenant", "model")
"""Of two alerts about the same dollars the one on the narrower axis says more."""

OWNERS: Final = ("run_id", "user", "tenant")
"""A run is one user's, a user one tenant's."""

Rank = tuple[int, int, int, int, int, str]


def explains(a: AlertRecord, b: AlertRecord) -> bool:
    """Whether `b` is part of what `a` reports. Two alerts may explain each other; then `rank` decides."""
    if SEVERITIES[a.facts.severity] < SEVERITIES[b.facts.severity] or _hides_a_switch(a, b):
        return False
    if _drowns(a, b) or _is_one_outage(a, b):
        return True
    if _differ_in_cause(a, b):
        return False
    if a.scope == b.scope and a.facts.ladder == b.facts.ladder:
        return _is_higher_rung(a, b)
    if not (_at_the_same_time(a, b) or _goes_on(a, b)):
        return False
    return _covers(a, b) or _names(a, b) or _flows_through(a, b)


def rank(alert: AlertRecord) -> Rank:
    """Order among overlapping alerts, the root first."""
    return (
        -SEVERITIES[alert.facts.severity],
        0 if _enforces(alert) else 1,
        0 if alert.visible else 1,
        -_magnitude(alert.evidence.excess_nanousd),
        breadth([axis for axis, _ in pairs(alert.scope)]),
        alert.fingerprint,
    )


def _magnitude(nanousd: int) -> int:
    """Grows by one with a seventh to a quarter more.

    What others spend by chance makes no tenant a larger story than the one feature that explains all of it but a cent.
    """
    bits = max(nanousd, 0).bit_length()
    return (bits << 3) + (max(nanousd, 0) >> max(bits - 3, 0))


def has_outgrown(b: AlertRecord, a: AlertRecord) -> bool:
    """Whether `a` is too small by now to explain `b`. Caps count dollars above the cap, so they tell nothing here."""
    if a.facts.kind == "cap" or (_counts_likewise(a, b) and _is_half_inside(b, a.scope)):
        return False
    return b.evidence.excess_nanousd > 2 * a.evidence.excess_nanousd


def breadth(axes: Sequence[str]) -> int:
    """0 for a scope on the narrowest axis; further axes are wider than the six, everything is the widest."""
    places = [SPECIFIC.index(axis) if axis in SPECIFIC else len(SPECIFIC) for axis in axes]
    return min(places, default=len(SPECIFIC) + 1)


def amount_nanousd(a: AlertRecord) -> int:
    """The dollars an alert can account for: its excess; a cap's whole spend, since its excess begins at zero.

    It bounds what contributors claim: those of a user are told from all that the user ever spent.
    """
    return round(a.evidence.value) if a.facts.kind == "cap" else a.evidence.excess_nanousd


def is_silence(alert: AlertRecord) -> bool:
    """Whether an alert says that calls stopped."""
    return alert.facts.kind == "absence"


def contributor_key(contributor: Contributor) -> str:
    """Canonical scope key of a contributor."""
    return axis_scope_key(contributor.axis, contributor.value)


@lru_cache(maxsize=65_536)
def pairs(scope: str) -> frozenset[tuple[str, str]]:
    """Axis and value pairs of a canonical scope key."""
    return frozenset(parse_scope_key(scope).items())


def _enforces(alert: AlertRecord) -> bool:
    return alert.facts.acts and alert.facts.mode == "enforce"


def _hides_a_switch(a: AlertRecord, b: AlertRecord) -> bool:
    owner = a.facts.kind != "burst" and _owns(a.scope, b.scope)
    return _enforces(b) and not (_enforces(a) or owner)


def _differ_in_cause(a: AlertRecord, b: AlertRecord) -> bool:
    if is_silence(a) != is_silence(b):
        return True
    if "price" in (a.facts.kind, b.facts.kind):
        return a.facts.ladder != b.facts.ladder
    return a.facts.kind == b.facts.kind == "drift" and not _same_driver(a, b)


def _same_driver(a: AlertRecord, b: AlertRecord) -> bool:
    lengthen = a.facts.signal in LENGTHS and b.facts.signal in LENGTHS
    return a.evidence.driver == b.evidence.driver or (
        lengthen and abs(a.since_ms - b.since_ms) <= TOGETHER_MS
    )


def _drowns(a: AlertRecord, b: AlertRecord) -> bool:
    """Whether `b` is a drift that began inside a surge that `a` reports, which still goes on."""
    is_surge = a.facts.kind == "burst" or a.facts.signal == VOLUME
    if not (is_surge and a.breaching) or b.facts.kind != "drift" or b.facts.signal in MAKES_SURGES:
        return False
    first = a.since_ms <= b.since_ms and pairs(a.scope) <= pairs(b.scope)
    return first and _at_the_same_time(a, b) and _is_large_enough(a, b)


def _is_one_outage(a: AlertRecord, b: AlertRecord) -> bool:
    """Whether two scopes fell silent together; that all traffic is silent, no part of it explains."""
    both = is_silence(a) and is_silence(b) and not pairs(b.scope) < pairs(a.scope)
    return both and abs(a.starts_ms - b.starts_ms) <= OUTAGE_MS


def _owns(a: str, b: str) -> bool:
    """Whether `a` is on an axis further up than `b`'s; that `b` belongs to it, its dollars say."""
    owner, owned = _owner_places(a), _owner_places(b)
    return bool(owner and owned) and min(owner) > max(owned)


def _owner_places(scope: str) -> list[int]:
    return [OWNERS.index(axis) for axis, _ in pairs(scope) if axis in OWNERS]


def _at_the_same_time(a: AlertRecord, b: AlertRecord) -> bool:
    """By event time or by when they were found: a day's spike begins at midnight, and long windows find late."""
    return min(abs(a.starts_ms - b.starts_ms), abs(a.since_ms - b.since_ms)) <= SAME_TIME_MS


def _goes_on(a: AlertRecord, b: AlertRecord) -> bool:
    """Whether `b` is the same finding as a page that was told before, inside its scope or at one of the customers who share it."""
    same = a.facts.ladder == b.facts.ladder and a.evidence.driver == b.evidence.driver
    if not same or a.facts.kind not in LASTING or a.inhibited_by is not None or a.since_ms > b.since_ms:
        return False
    return pairs(a.scope) < pairs(b.scope) or (a.breaching and _is_shared_with_a_customer(a.scope, b.scope))


def _is_shared_with_a_customer(shared: str, own: str) -> bool:
    """What happens to one customer says nothing about the next."""
    axes, others = ({axis for axis, _ in pairs(scope)} for scope in (shared, own))
    return not axes & CUSTOMERS and bool(others & CUSTOMERS)


def _is_higher_rung(a: AlertRecord, b: AlertRecord) -> bool:
    """Caps of one window: the larger limit is the later news. Other ladders: either tells it."""
    return a.facts.kind != "cap" or a.evidence.threshold > b.evidence.threshold


def _covers(a: AlertRecord, b: AlertRecord) -> bool:
    """The same scope for the same cause, or a scope inside it found by the same kind of rule."""
    if a.scope == b.scope:
        return a.facts.kind == b.facts.kind or a.evidence.driver == b.evidence.driver
    return a.facts.kind == b.facts.kind and pairs(a.scope) < pairs(b.scope) and _is_large_enough(a, b)


def _names(a: AlertRecord, b: AlertRecord) -> bool:
    """`a` lists the scope of `b` among its contributors, with at least half of what `b` reports."""
    return any(
        contributor_key(part) == b.scope
        and 2 * min(part.nanousd, amount_nanousd(a)) >= b.evidence.excess_nanousd
        for part in a.evidence.contributors
    )


def _flows_through(a: AlertRecord, b: AlertRecord) -> bool:
    """At least half of `b` is money of `a`'s scope: lists of contributors are short, a tenant names few of its users.

    This is weaker evidence than being named, so the driver must agree where `b` has one by evidence of its own
    (users and runs have no cells to tell it from, and a cap is indifferent to it).
    """
    has_cells = all(axis in CELL_AXES for axis, _ in pairs(b.scope))
    knows_driver = has_cells and bool(b.evidence.drivers) and b.facts.kind != "cap"
    if knows_driver and not _same_driver(a, b):
        return False
    return (_counts_likewise(a, b) or _is_large_enough(a, b)) and _is_half_inside(b, a.scope)


def _counts_likewise(a: AlertRecord, b: AlertRecord) -> bool:
    """Whether both are the same finding, which counts its dollars from another moment on in every scope: shares compare, sums do not."""
    if "price" in (a.facts.kind, b.facts.kind):
        return a.facts.ladder == b.facts.ladder
    return bool(a.facts.signal) and a.facts.signal == b.facts.signal


def _is_half_inside(alert: AlertRecord, scope: str) -> bool:
    """Whether at least half of an alert's excess lies in a scope, by the shares of its contributors.

    What lies outside of a scope of two axes lies outside of either value.
    """
    outside = 0.0
    for axis, value in sorted(pairs(scope) - pairs(alert.scope)):
        named = (
            part.share for part in alert.evidence.contributors if (part.axis, part.value) == (axis, value)
        )
        outside += 1 - max(named, default=0.0)
    return outside <= 0.5


def _is_large_enough(a: AlertRecord, b: AlertRecord) -> bool:
    return a.facts.kind == "cap" or 2 * a.evidence.excess_nanousd >= b.evidence.excess_nanousd
