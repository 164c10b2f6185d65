"""The picture of a scope: well formed, by itself, and its marks stand where the numbers say."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from tokenfuse.backtest.chart import ALERTS_MAX, LEFT, RIGHT, WIDTH, hours, page, span, svg
from tokenfuse.backtest.episodes import Episode
from tokenfuse.backtest.normal import Past
from tokenfuse.backtest.spend import HOUR_S, Spend

MONDAY_S = 1_772_409_600
DAY_S = 24 * HOUR_S
NAME = "tenant <acme> & co"


def past(days: int = 6) -> Past:
    pane_s = np.arange(MONDAY_S, MONDAY_S + days * DAY_S, HOUR_S)
    cost = np.where(pane_s == MONDAY_S + 5 * DAY_S, 90, 10).astype(np.int64) * 10**9
    return Past(
        Spend(np.zeros_like(pane_s), pane_s, np.ones_like(pane_s), cost), MONDAY_S, frozenset(), {0: 0}
    )


def told(at_s: int) -> Episode:
    return Episode(
        "spike", "spike", "volume", "page", {"tenant": "acme"}, at_s * 1000, at_s * 1000, (at_s + HOUR_S) * 1000
    )  # fmt: skip


def drawn(shown, from_s=MONDAY_S + 3 * DAY_S, to_s=MONDAY_S + 6 * DAY_S) -> ET.Element:
    return ET.fromstring(svg(NAME, shown, hours(past(), from_s, to_s)))


def of_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [e for e in root.iter() if e.get("class") == name and "transform" not in e.attrib]


def test_the_picture_has_axes_with_units_a_legend_and_nothing_from_outside():
    text = page(NAME, [told(MONDAY_S + 5 * DAY_S)], hours(past(), MONDAY_S + 3 * DAY_S, MONDAY_S + 6 * DAY_S))
    words = " ".join(drawn([]).itertext())

    assert "US dollars per hour" in words
    assert "time, UTC" in words
    assert "9 of 10 such hours before" in words
    assert "2026-03-06" in words
    assert "&lt;acme&gt; &amp; co" in text
    assert not re.findall(r"(src|href)=|url\(|<script", text)


def test_an_alert_and_its_breach_stand_at_their_time():
    root = drawn([told(MONDAY_S + 4 * DAY_S + DAY_S // 2)])
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2

    assert [float(e.get("x1")) for e in of_class(root, "alert")] == [pytest.approx(middle, abs=0.1)]
    assert float(of_class(root, "breach")[0].get("x")) == pytest.approx(middle, abs=0.1)


def test_the_band_begins_once_an_hour_of_the_day_is_known_three_times():
    picture = hours(past(), MONDAY_S, MONDAY_S + 6 * DAY_S)

    assert [h.usual is not None for h in picture].index(True) == 3 * 24
    assert picture[-1].usual == (10 * 10**9,) * 3
    assert picture[5 * 24].spent == 90 * 10**9


def test_a_picture_without_alerts_or_dollars_is_still_one():
    empty = Past(past().spend.between(0, 0), MONDAY_S, frozenset(), {})
    root = ET.fromstring(svg("everything", [], hours(empty, MONDAY_S, MONDAY_S + DAY_S)))
    assert len(of_class(root, "spent")) == 2  # the line, and its legend


def test_the_picture_reaches_days_around_the_alerts_and_not_beyond_the_events():
    first_s, last_s = MONDAY_S, MONDAY_S + 30 * DAY_S
    assert span([told(MONDAY_S + 10 * DAY_S)], first_s, last_s) == (
        MONDAY_S + 6 * DAY_S, MONDAY_S + 11 * DAY_S + HOUR_S,
    )  # fmt: skip
    assert span([told(MONDAY_S)], first_s, last_s)[0] == first_s
    assert span([], first_s, last_s) == (first_s, last_s + 1)


def test_more_alerts_than_can_be_told_apart_are_said_and_not_drawn():
    text = page(NAME, [told(MONDAY_S)] * (ALERTS_MAX + 3), hours(past(), MONDAY_S, MONDAY_S + DAY_S))
    assert "3 more alerts are not drawn" in text
