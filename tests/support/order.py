"""The order of tests: the slow ones come first, so that no worker ends alone with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def slow_first(items: Sequence[T], is_slow: Callable[[T], bool], workers: int) -> list[T]:
    """All items; the shares that `--dist worksteal` hands out, one stretch per worker, each begin with their slow ones.

    Each worker begins at another place among the slow: some wait for brokers while others compute. What it steals at
    the end is quick, and stands in the order of its files.
    """
    slow = [item for item in items if is_slow(item)]
    quick = iter([item for item in items if not is_slow(item)])
    ordered: list[T] = []
    for worker in range(workers):
        size = (len(items) - len(ordered)) // (workers - worker)
        mine = slow[workers - 1 - worker :: workers]  # the last shares are the larger ones, there as here
        start = len(mine) * worker // workers
        ordered += mine[start:] + mine[:start]
        ordered += [next(quick) for _ in range(size - len(mine))]
    return ordered
