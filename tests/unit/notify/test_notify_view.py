"""What the texts of a message are, whoever renders them."""

from __future__ import annotations

from msgspec.structs import replace
from tests.unit.notify.alerts import CACHE

from tokenfuse.contracts.alert import CostChange, DriverUsd
from tokenfuse.notify.view import view


def test_why_names_the_largest_parts_first_and_none_that_is_nothing() -> None:
    parts = (("volume", "-0.14"), ("retry", "0"), ("prompt", "0.014"), ("cache", "0.62"))
    alert = replace(CACHE, drivers=tuple(DriverUsd(driver=driver, usd=usd) for driver, usd in parts))

    assert [line.split(" ", 1)[0] for line in view(alert).why] == ["+$0.62", "−$0.14", "+$0.014"]


def test_many_parts_end_with_the_sum_of_those_that_are_left_out() -> None:
    parts = tuple(DriverUsd(driver=f"d{n}", usd=str(n)) for n in range(1, 9))

    assert view(replace(CACHE, drivers=parts)).why[-2:] == ("+$3.00 d3", "+$3.00 all else")


def test_the_change_says_what_was_spent_what_is_usual_and_the_difference() -> None:
    change = CostChange(
        starts_at="2026-11-24T21:00:00Z", ends_at="2026-11-24T22:00:00Z", spent_usd="12.4", usual_usd="3.1"
    )
    alert = replace(CACHE, cost_change=change)
    new = replace(alert, cost_change=replace(change, usual_usd="0"))

    assert view(alert).change == "Spent $12.40 in 1 h, usually $3.10: +$9.30"
    assert view(new).change == "Spent $12.40 in 1 h, usually nothing: +$12.40"


def test_an_alert_of_an_older_release_has_parts_and_no_change() -> None:
    shown = view(replace(CACHE, cost_change=None))

    assert (shown.change, len(shown.why)) == ("", 3)
