"""One scope as a picture: dollars per hour, what is usual, the breach and the alerts. A page with an SVG, by itself.

The band is where nine of ten hours of this hour of the day were in the 14 days before: the history that rules with a
learned baseline read, hours with an alert left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

from tokenfuse.backtest.episodes import Episode
from tokenfuse.backtest.normal import DAY_S, Past, alike
from tokenfuse.backtest.spend import HOUR_S
from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.money import NANO

BEFORE_S: Final = 4 * DAY_S
AFTER_S: Final = DAY_S
BAND: Final = (5, 50, 95)
BAND_HOURS_MIN: Final = 3
ALERTS_MAX: Final = 12
"""More markers than that on one picture cannot be told apart; the JSON has them all."""

WIDTH, HEIGHT = 1000, 420
LEFT, RIGHT, TOP, BOTTOM = 76, 16, 40, 56
TICKS_MAX: Final = 9

STYLE: Final = """
body { font: 14px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; margin: 2em auto; max-width: 1040px; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: #1b1f24; }
.grid { stroke: #d9dde2; } .axis { stroke: #1b1f24; } .spent { fill: none; stroke: #1b1f24; stroke-width: 1.5; }
.band { fill: #5b8fd6; opacity: .25; } .usual { fill: none; stroke: #2f6bbd; stroke-dasharray: 5 4; }
.breach { fill: #f0a020; opacity: .22; } .alert { stroke: #c8201c; stroke-width: 1.5; } .mark { fill: #c8201c; }
table { border-collapse: collapse; } td, th { padding: .2em .8em .2em 0; text-align: left; border-bottom: 1px solid #d9dde2; }
"""


@dataclass(frozen=True)
class Hour:
    """One hour of the picture: nano-dollars spent, and low, middle and high of its like before; None: not known."""

    start_s: int
    spent: int
    usual: tuple[int, int, int] | None


def hours(past: Past, from_s: int, to_s: int) -> list[Hour]:
    """Every hour that begins in [from_s, to_s)."""
    hourly = past.spend.hourly
    return [
        Hour(s, hourly.get(s, 0), _usual([hourly.get(like, 0) for like in alike(past.hours_before(s), s)]))
        for s in range(from_s - from_s % HOUR_S, to_s, HOUR_S)
    ]


def span(shown: Sequence[Episode], first_s: int, last_s: int) -> tuple[int, int]:
    """Seconds that the picture reaches over: the alerts with days around them, or everything if there is none."""
    if not shown:
        return first_s, last_s + 1
    from_s = min(each.starts_ms for each in shown) // 1000 - BEFORE_S
    to_s = max(each.end_ms for each in shown) // 1000 + AFTER_S
    return max(from_s, first_s), min(to_s, last_s + 1)


def page(scope: str, shown: Sequence[Episode], picture: Sequence[Hour]) -> str:
    """A whole HTML document without references to others."""
    title = f"TokenFuse backtest: {scope}"
    rows = "".join(
        f"<tr><td>{i + 1}</td><td>{escape(each.rule)}</td><td>{each.severity}</td><td>{_when(each.starts_ms)}</td>"
        f"<td>{_when(each.told_ms)}</td><td>{'still open' if each.open else _when(each.end_ms)}</td></tr>"
        for i, each in enumerate(shown[:ALERTS_MAX])
    )
    more = f"<p>{len(shown) - ALERTS_MAX} more alerts are not drawn.</p>" if len(shown) > ALERTS_MAX else ""
    head = "<tr><th></th><th>rule</th><th>severity</th><th>breach since</th><th>told</th><th>ended</th></tr>"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>\n{svg(scope, shown, picture)}\n"
        f"<table>{head}{rows}</table>{more}</body></html>\n"
    )


def svg(scope: str, shown: Sequence[Episode], picture: Sequence[Hour]) -> str:
    """The picture."""
    plot = _Plot(picture)
    return "\n".join(
        [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg">',
            f"<title>Dollars per hour of {escape(scope)}, with what is usual and the alerts</title>",
            *plot.dollar_axis(),
            *plot.time_axis(),
            *[plot.breach(each) for each in shown[:ALERTS_MAX]],
            *plot.band(),
            plot.spent(),
            *[line for i, each in enumerate(shown[:ALERTS_MAX]) for line in plot.alert(i + 1, each)],
            *_legend(),
            "</svg>",
        ]
    )


class _Plot:
    """Places of times and dollars on the picture."""

    def __init__(self, picture: Sequence[Hour]) -> None:
        self._hours = picture
        self._from_s = picture[0].start_s if picture else 0
        self._to_s = picture[-1].start_s + HOUR_S if picture else HOUR_S
        dearest = max((max(h.spent, h.usual[2] if h.usual else 0) for h in picture), default=0)
        self._step, self._top = _scale(dearest / NANO)

    def x(self, second: float) -> float:
        share = (second - self._from_s) / (self._to_s - self._from_s)
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def y(self, nanousd: float) -> float:
        share = min(max(nanousd / NANO / self._top, 0.0), 1.0)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def dollar_axis(self) -> list[str]:
        lines = []
        for i in range(round(self._top / self._step) + 1):
            y = self.y(i * self._step * NANO)
            lines += [
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
                f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{i * self._step:,.{_decimals(self._step)}f}</text>',
            ]
        middle = (TOP + HEIGHT - BOTTOM) / 2
        turned = f'transform="rotate(-90 16 {middle})"'
        return [
            *lines,
            f'<text x="16" y="{middle}" {turned} text-anchor="middle">US dollars per hour</text>',
        ]

    def time_axis(self) -> list[str]:
        length_s = self._to_s - self._from_s
        step_s = next(
            s for s in (HOUR_S, 3 * HOUR_S, 6 * HOUR_S, *(d * DAY_S for d in (1, 2, 3, 7, 14, 28, 10**6)))
            if length_s / s <= TICKS_MAX
        )  # fmt: skip
        bottom = HEIGHT - BOTTOM
        lines = [f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>']
        for second in range(-(-self._from_s // step_s) * step_s, self._to_s + 1, step_s):
            x = self.x(second)
            words = _when(second * 1000)[5:] if step_s < DAY_S else _when(second * 1000)[:10]
            lines += [
                f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>',
                f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{words}</text>',
            ]
        middle = (LEFT + WIDTH - RIGHT) / 2
        return [*lines, f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">time, UTC</text>']

    def band(self) -> list[str]:
        """One polygon and one dashed line for each stretch of hours whose usual spend is known."""
        lines = []
        for stretch in _known(self._hours):
            top = _steps([(self._x_of(h), self.y(u[2])) for h, u in stretch], self._hour_width)
            floor = _steps([(self._x_of(h), self.y(u[0])) for h, u in stretch], self._hour_width)
            middle = _steps([(self._x_of(h), self.y(u[1])) for h, u in stretch], self._hour_width)
            lines += [
                f'<polygon class="band" points="{_points([*top, *reversed(floor)])}"/>',
                f'<polyline class="usual" points="{_points(middle)}"/>',
            ]
        return lines

    def spent(self) -> str:
        steps = _steps([(self._x_of(h), self.y(h.spent)) for h in self._hours], self._hour_width)
        return f'<polyline class="spent" points="{_points(steps)}"/>'

    def breach(self, episode: Episode) -> str:
        left, right = self.x(episode.starts_ms / 1000), self.x(episode.end_ms / 1000)
        width = max(right - left, 1.5)
        return f'<rect class="breach" x="{left:.1f}" y="{TOP}" width="{width:.1f}" height="{HEIGHT - TOP - BOTTOM}"/>'

    def alert(self, number: int, episode: Episode) -> list[str]:
        x = self.x(episode.told_ms / 1000)
        words = escape(f"{number}: {episode.rule}, {episode.severity}, told {_when(episode.told_ms)}")
        return [
            f'<g><title>{words}</title><line class="alert" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>',
            f'<path class="mark" d="M{x:.1f} {TOP + 7} l-5 -8 h10 z"/>',
            f'<text x="{x + 6:.1f}" y="{TOP + 12 + 13 * ((number - 1) % 6)}">{number}</text></g>',
        ]

    @property
    def _hour_width(self) -> float:
        return self.x(self._from_s + HOUR_S) - self.x(self._from_s)

    def _x_of(self, hour: Hour) -> float:
        return self.x(hour.start_s)


def _usual(like: Sequence[int]) -> tuple[int, int, int] | None:
    if len(like) < BAND_HOURS_MIN:
        return None
    low, middle, high = np.percentile(np.array(like, np.int64), BAND).tolist()
    return int(low), int(middle), int(high)


def _known(picture: Sequence[Hour]) -> list[list[tuple[Hour, tuple[int, int, int]]]]:
    stretches: list[list[tuple[Hour, tuple[int, int, int]]]] = [[]]
    for hour in picture:
        if hour.usual is not None:
            stretches[-1].append((hour, hour.usual))
        elif stretches[-1]:
            stretches.append([])
    return [stretch for stretch in stretches if stretch]


def _steps(places: Sequence[tuple[float, float]], width: float) -> list[tuple[float, float]]:
    """An hour is a level, not a point."""
    return [corner for x, y in places for corner in ((x, y), (x + width, y))]


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _legend() -> list[str]:
    items = (
        ('<line class="spent" x1="0" x2="22" y1="-4" y2="-4"/>', "spent, each hour"),
        ('<rect class="band" x="0" y="-10" width="22" height="12"/>', "9 of 10 such hours before"),
        ('<line class="usual" x1="0" x2="22" y1="-4" y2="-4"/>', "their median"),
        ('<rect class="breach" x="0" y="-10" width="22" height="12"/>', "breach"),
        ('<path class="mark" d="M11 0 l-5 -8 h10 z"/>', "first telling of an alert"),
    )
    lines, x = [], LEFT
    for mark, words in items:
        lines.append(f'<g transform="translate({x} 20)">{mark}<text x="28">{words}</text></g>')
        x += 28 + 7 * len(words) + 24
    return lines


def _scale(most: float) -> tuple[float, float]:
    """A round step and the end of the axis, at most ten steps."""
    if most <= 0:
        return 1.0, 1.0
    power = 10.0 ** np.floor(np.log10(most / 5))
    step = next(float(power * f) for f in (1, 2, 5, 10) if most / (power * f) <= 5 + 1e-9)
    return step, step * float(np.ceil(most / step - 1e-9))


def _decimals(step: float) -> int:
    return max(0, int(-np.floor(np.log10(step))))


def _when(ms: int) -> str:
    """`2026-03-02 14:05`."""
    return to_rfc3339(ms)[:16].replace("T", " ")
