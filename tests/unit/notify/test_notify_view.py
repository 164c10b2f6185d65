"""What the texts of a message are, whoever renders them."""

from __future__ import annotations

from msgspec.structs import replace
from tests.unit.notify.alerts import CACHE

from tokenfuse.contracts.alert import DriverUsd
from tokenfuse.notify.view import view


def test_why_names_the_largest_parts_first_and_none_that_is_nothing() -> None:
    parts = (("volume", "-0.14"), ("retry", "0"), ("prompt", "0.014"), ("cache", "0.62"))
    alert = replace(CACHE, drivers=tuple(DriverUsd(driver=driver, usd=usd) for driver, usd in parts))

    assert [line.split(" ", 1)[0] for line in view(alert).why] == ["+$0.62", "−$0.14", "+$0.014"]
