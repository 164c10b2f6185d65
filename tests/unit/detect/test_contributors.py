"""Who the excess comes from, on the axes that the scope does not name itself."""

from __future__ import annotations

from tokenfuse.contracts.scope import scope_key
from tokenfuse.contracts.signal import Contributor
from tokenfuse.detect.contributors import contributors


def key(feature: str, model: str) -> str:
    return scope_key({"tenant": "acme & co", "feature": feature, "model": model})


CELLS = [key("chat", "a"), key("chat", "b"), key("search", "a")]


def test_parts_are_summed_per_axis_value_largest_first_without_the_scopes_own_axis():
    assert contributors([60, 30, 10], CELLS, known=("tenant",)) == (
        Contributor("feature", "chat", 90, 0.9),
        Contributor("feature", "search", 10, 0.1),
        Contributor("model", "a", 70, 0.7),
        Contributor("model", "b", 30, 0.3),
    )


def test_who_saved_money_is_no_contributor_and_no_share_exceeds_one():
    assert contributors([60, -20, -10], CELLS, known=("tenant", "model")) == (
        Contributor("feature", "chat", 40, 1.0),
    )


def test_equal_parts_come_by_name_and_only_the_largest_are_kept():
    cells = [key(feature, "a") for feature in ("d", "c", "b", "a")]

    assert [c.value for c in contributors([5, 5, 5, 5], cells, known=("tenant", "model"))] == ["a", "b", "c"]


def test_no_excess_has_no_contributors():
    assert contributors([5, -5, 0], CELLS) == ()
