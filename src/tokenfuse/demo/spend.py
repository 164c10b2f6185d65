"""Spend as the screen shows it: by tenant and by feature, in total, in the last hour, and its course."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from tokenfuse.contracts.money import NANO
from tokenfuse.demo.observer import MINUTE_S, Observer

HOUR_S: Final = 3600
BARS: Final = " ▁▂▃▄▅▆▇█"


class Row(Struct, frozen=True):
    """One tenant or feature. Money in nano-dollars; `course`: of each stretch of equal length, oldest first."""

    name: str
    total: int
    last_hour: int
    course: tuple[int, ...]


def rows(
    observer: Observer, axis: str, names: Iterable[str], now_s: int, stretches: int, span_s: int
) -> list[Row]:
    """Rows of one axis in the order of `names`, up to `now_s` in event time."""
    totals = observer.totals()
    found = []
    for name in names:
        minutes = observer.minutes.get((axis, name), {})
        last_hour = sum(spent for minute, spent in minutes.items() if now_s - HOUR_S < minute <= now_s)
        total = totals.get((axis, name), (0, 0))[1]
        found.append(
            Row(name, total, last_hour, _course(minutes, now_s - span_s, span_s // stretches, stretches))
        )
    return found


def newest_minute_s(observer: Observer) -> int:
    """The newest minute that any rollup has told of; 0 while there is none."""
    return max((minute + MINUTE_S for minutes in observer.minutes.values() for minute in minutes), default=0)


def spark(course: tuple[int, ...]) -> str:
    """A course as bars; the tallest is the most that was spent in one stretch.

    >>> spark((0, 1, 8, 4))
    ' ▁█▄'
    """
    most = max(course, default=0)
    return "".join(
        BARS[-(-spent * (len(BARS) - 1) // most)] if most and spent > 0 else " " for spent in course
    )


def usd(nanousd: int) -> str:
    """Dollars for a column: cents from ten cents on, else tenths of them.

    >>> usd(12_345_600_000_000), usd(1_500_000_000), usd(4_200_000), usd(1), usd(0)
    ('$12,345.60', '$1.50', '$0.004', '<$0.001', '-')
    """
    if not nanousd:
        return "-"
    dollars = nanousd / NANO
    if dollars < 0.001:
        return "<$0.001"
    return f"${dollars:,.2f}" if dollars >= 0.1 else f"${dollars:.3f}"


def _course(minutes: Mapping[int, int], start_s: int, stretch_s: int, stretches: int) -> tuple[int, ...]:
    spent = [0] * stretches
    for minute, nanousd in minutes.items():
        place = (minute - start_s) // stretch_s
        if 0 <= place < stretches:
            spent[place] += nanousd
    return tuple(spent)
