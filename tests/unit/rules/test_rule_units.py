"""Money and durations are read exactly as they were written."""

from __future__ import annotations

import pytest

from tokenfuse.rules.source import Source
from tokenfuse.rules.units import parse_duration, parse_usd


@pytest.mark.parametrize(
    ("written", "nanousd"),
    [
        ('"25.50"', 25_500_000_000),
        ("25", 25_000_000_000),
        ("0.1", 100_000_000),
        ('"0.000000001"', 1),
        ("0", 0),
    ],
)
def test_dollars_are_exact_however_they_are_written(written, nanousd):
    assert parse_usd(Source("x", f"usd: {written}").data["usd"]) == nanousd


@pytest.mark.parametrize(
    "written", ["-1", ".inf", ".nan", "1e3", "yes", '"1,000"', '"$5"', "1000000001", "[5]", '""']
)
def test_what_is_no_plain_amount_is_refused(written):
    with pytest.raises(ValueError, match="expected"):
        parse_usd(Source("x", f"usd: {written}").data["usd"])


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1h", 3600), ("7d", 604_800)])
def test_durations_are_whole_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["5", 5, "1.5h", "-1h", "1 h", "1w", "", None])
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="such as 90s, 5m, 1h or 7d"):
        parse_duration(text)
