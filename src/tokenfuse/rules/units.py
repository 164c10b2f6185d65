"""Durations and money as people write them in rule files."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from tokenfuse.contracts.money import NANO

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])")

LIMIT_USD_MAX: Final = 1_000_000_000
"""A billion dollars: 10^18 nano-dollars, still inside int64."""


class YamlFloat(float):
    """A float that remembers how it was written, so that 0.1 dollars are exactly that."""

    text: str


def parse_duration(text: Any) -> int:
    """Seconds of `90s`, `5m`, `1h` or `7d`.

    Raises:
        ValueError: anything else; the message says what would be right.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"expected a duration such as 90s, 5m, 1h or 7d, got {text!r}")
    return int(match[1]) * _SECONDS[match[2]]


def parse_usd(value: Any) -> int:
    """Nano-dollars of dollars written as `"25.50"`, `25.50` or `25`, exactly.

    Raises:
        ValueError: negative, not a plain number, finer than a nano-dollar, or above LIMIT_USD_MAX.
    """
    text = value.text if isinstance(value, YamlFloat) else str(value)
    try:
        usd = Decimal(text) if re.fullmatch(r"\d+(\.\d+)?", text) and not isinstance(value, bool) else None
    except InvalidOperation:
        usd = None
    if usd is None:
        raise ValueError(f'expected US dollars such as "25.50", got {text!r}')
    nanousd = usd * NANO
    if nanousd != nanousd.to_integral_value() or usd > LIMIT_USD_MAX:
        raise ValueError(f"expected at most nine decimals and at most {LIMIT_USD_MAX} dollars, got {text!r}")
    return int(nanousd)


Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,9}[smhd]$", "examples": ["90s", "5m", "1h", "7d"]}),
]
Usd = Annotated[
    int,
    BeforeValidator(parse_usd),
    WithJsonSchema({"type": ["string", "number"], "pattern": r"^\d+(\.\d{1,9})?$", "examples": ["25.50"]}),
]
