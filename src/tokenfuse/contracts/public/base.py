"""What every public model shares: strictness, identity of its schema, and how a JSON document reaches it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from tokenfuse.contracts.deadletter import Reason
from tokenfuse.contracts.event import COST_USD_MAX, parse_json

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class PublicModel(BaseModel):
    """Strict (`5.0` and `true` are no integers), frozen; unknown fields are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", use_attribute_docstrings=True)

    schema_id: ClassVar[str]
    """Identity of the published schema, e.g. `urn:tokenfuse:schema:event:v1`."""

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Validate JSON bytes. Unlike `model_validate_json` it keeps all digits of a cost and refuses NaN.

        Raises:
            pydantic.ValidationError: not such a record. msgspec.DecodeError: not JSON.
        """
        return cls.model_validate(parse_json(data))

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema (draft 2020-12) with `$schema` and `$id` in front."""
        return {"$schema": DIALECT, "$id": cls.schema_id, **cls.model_json_schema(mode="validation")}


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _usd(value: Any) -> Any:
    """Decimal from a JSON number or string; everything else is left to fail as a wrong type."""
    usd = value
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            usd = Decimal(value if isinstance(value, (int, str)) else repr(value))
        except InvalidOperation:
            raise PydanticCustomError(Reason.WRONG_TYPE, "not a decimal number") from None
    if not isinstance(usd, Decimal):
        raise PydanticCustomError(Reason.WRONG_TYPE, "must be a number or a decimal string")
    return usd


def _cost(value: Any) -> Any:
    usd = _usd(value) if value is not None else None
    if usd is None:
        return None
    if not usd.is_finite():
        raise PydanticCustomError(Reason.NOT_FINITE, "must be a finite number")
    if usd < 0:
        raise PydanticCustomError(
            Reason.NEGATIVE_COST, "must not be negative: send a correction as a later revision"
        )
    if usd > COST_USD_MAX:
        raise PydanticCustomError(
            Reason.COST_TOO_LARGE, f"must be at most {COST_USD_MAX} US dollars for one call"
        )
    return usd


_DECIMAL_PATTERN = r"^-?[0-9]+(\.[0-9]+)?$"

Number = Annotated[float, BeforeValidator(_number)]
"""A JSON number; integers are numbers too, booleans and strings are not."""

CostUsd = Annotated[
    Decimal,
    BeforeValidator(_cost),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": int(COST_USD_MAX)},
                {"type": "string", "pattern": r"^\+?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?$"},
            ]
        }
    ),
]
"""US dollars of one call, 0 to 1,000,000; all digits count, rounding to a nano-dollar is half-even."""

UsdText = Annotated[str, Field(pattern=_DECIMAL_PATTERN)]
"""US dollars as an exact decimal string."""

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339 with an offset."""
