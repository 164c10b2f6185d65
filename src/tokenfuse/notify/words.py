"""Words: dollars, times and measures as a person reads them at three in the morning."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from tokenfuse.contracts.clock import from_rfc3339, to_rfc3339

CUT: Final = "… [cut]"
"""Visible mark of text that was too long for the receiver."""

SECOND_MS: Final = 1000


def dollars(usd: str, *, signed: bool = False) -> str:
    """A decimal string of dollars, as exact as a person needs it; what is no number is shown as it is.

    >>> dollars("1250.4"), dollars("81.2"), dollars("0.00421"), dollars("0"), dollars("-3.1"), dollars("2", signed=True)
    ('$1,250', '$81.20', '$0.0042', '$0', '−$3.10', '+$2.00')
    """
    try:
        amount = Decimal(usd)
    except InvalidOperation:
        return usd
    if not amount.is_finite():
        return usd
    sign = "−" if amount < 0 else "+" if signed and amount > 0 else ""
    return f"{sign}${_digits(abs(amount))}"


def _digits(amount: Decimal) -> str:
    if amount == 0:
        return "0"
    if amount >= 1000:
        return f"{amount:,.0f}"
    if amount >= Decimal("0.1"):
        return f"{amount:.2f}"
    places = 1 - amount.adjusted()  # two significant digits
    return f"{amount:.{places}f}"


def measure(value: float, unit: str) -> str:
    """A value in a rule's unit.

    >>> measure(62, "usd_per_hour"), measure(0.31, "share"), measure(3.2, "ratio"), measure(12000, "tokens")
    ('$62.00/h', '31 %', '3.2x', '12,000 tokens')
    """
    if unit == "usd":
        return dollars(str(value))
    if unit.startswith("usd_per_"):
        return f"{dollars(str(value))}/{_PER.get(unit, unit.removeprefix('usd_per_'))}"
    if unit == "share":
        return f"{100 * value:.3g} %"
    if unit == "ratio":
        return f"{value:.3g}x"
    number = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return number if unit == "count" else f"{number} {unit.replace('_', ' ')}".rstrip()


_PER: Final = {"usd_per_hour": "h", "usd_per_minute": "min", "usd_per_day": "day", "usd_per_call": "call"}


def moment(text: str) -> str:
    """An RFC 3339 time in UTC to the second; what is no time is shown as it is.

    >>> moment("2026-11-24T23:10:05.250+01:00")
    '2026-11-24 22:10:05 UTC'
    """
    try:
        ms = from_rfc3339(text)
    except ValueError:
        return text
    return to_rfc3339(ms // SECOND_MS * SECOND_MS).replace("T", " ").replace("Z", " UTC")


def span(start: str, end: str) -> str:
    """How long between two RFC 3339 times, in its two largest units.

    >>> span("2026-11-24T22:00:00Z", "2026-11-25T01:12:09Z"), span("2026-11-24T22:00:00Z", "2026-11-24T22:00:09Z")
    ('3 h 12 min', '9 s')
    """
    try:
        seconds = max(0, from_rfc3339(end) - from_rfc3339(start)) // SECOND_MS
    except ValueError:
        return "unknown"
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number) or "0 s"


def name(text: str, chars_max: int) -> str:
    r"""A text that others chose, on one line: it cannot forge a line of ours, nor command a terminal.

    >>> name("acme\nAll is well", 20)
    'acme All is well'
    """
    line = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    return clip(line or "(empty)", chars_max)


def clip(text: str, chars_max: int) -> str:
    """Text of at most so many UTF-16 units (what JavaScript, and so a receiver, counts), with a mark where cut.

    >>> clip("abcdefghijkl", 10)
    'abc… [cut]'
    """
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * chars_max:
        return text
    return units[: 2 * (chars_max - len(CUT))].decode("utf-16-le", "ignore") + CUT
