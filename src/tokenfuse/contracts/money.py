"""Money: integer nano-dollars inside, decimal strings at the borders."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

NANO: Final = 1_000_000_000
NANOUSD_MAX: Final = 10**15
"""One call may cost a million dollars and no more: sums stay far from int64's end."""


def to_nanousd(usd: Decimal) -> int:
    """Dollars to nano-dollars, rounded half-even.

    >>> to_nanousd(Decimal("0.0000000005")), to_nanousd(Decimal("0.0000000015"))
    (0, 2)
    """
    return int((usd * NANO).to_integral_value(rounding=ROUND_HALF_EVEN))


def to_usd(nanousd: int) -> str:
    """Nano-dollars to an exact decimal string without exponent or trailing zeros.

    >>> to_usd(81_000_000_000), to_usd(-1), to_usd(0)
    ('81', '-0.000000001', '0')
    """
    sign = "-" if nanousd < 0 else ""
    whole, rest = divmod(abs(nanousd), NANO)
    return f"{sign}{whole}" + (f".{rest:09d}".rstrip("0") if rest else "")
