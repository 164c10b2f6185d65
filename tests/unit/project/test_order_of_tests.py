"""Slow tests stand at the head of every worker's share, and no test is lost."""

from __future__ import annotations

from hypothesis import given, strategies as st
from tests.support.order import slow_first


def shares(count: int, workers: int) -> list[int]:
    """Sizes as `--dist worksteal` hands them out."""
    sizes: list[int] = []
    for worker in range(workers):
        sizes.append((count - sum(sizes)) // (workers - worker))
    return sizes


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 7))
def test_every_share_begins_with_its_part_of_the_slow_and_each_test_is_there_once(
    slow: list[bool], workers: int
) -> None:
    ordered = slow_first(range(len(slow)), slow.__getitem__, workers)

    assert sorted(ordered) == list(range(len(slow)))
    parts = []
    for size in shares(len(slow), workers):
        share, ordered = ordered[:size], ordered[size:]
        parts.append(sum(slow[test] for test in share))
        assert all(slow[test] for test in share[: parts[-1]])
    assert max(parts) - min(parts) <= 1


def test_workers_begin_at_different_places_and_quick_tests_keep_their_order() -> None:
    names = [f"{kind}{n}" for n in range(6) for kind in ("slow", "quick")]

    assert slow_first(names, lambda name: name.startswith("slow"), 2) == [
        "slow1", "slow3", "slow5", "quick0", "quick1", "quick2",
        "slow2", "slow4", "slow0", "quick3", "quick4", "quick5",
    ]  # fmt: skip
