"""From plain fields to a canonical event, checked as strictly as one that came as canonical JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tokenfuse.contracts.deadletter import Reason
from tokenfuse.contracts.event import CostEvent, decode_event
from tokenfuse.ingest.fault import RefusedError

ID_CHARS_MAX: Final = 128

# Decimals go out as numbers, so that the strict decoder sees what a producer would have written.
_encoder = msgspec.json.Encoder(decimal_format="number")


def canonical_event(fields: Mapping[str, Any]) -> CostEvent:
    """An event from canonical fields; numbers with a fraction may be Decimals.

    Raises:
        RefusedError: with the canonical field path.
    """
    try:
        return decode_event(_encoder.encode(fields))
    except (msgspec.DecodeError, OverflowError) as error:
        from tokenfuse.ingest.deadletter import explain

        raise explain(fields) from error


def vendor_event(fields: Mapping[str, Any], names: Mapping[str, str]) -> CostEvent:
    """An event from what a vendor's record said; None means: it said nothing.

    Args:
        fields: canonical fields.
        names: canonical field to the vendor's name for it, for the path of a fault.

    Raises:
        RefusedError: missing_attribution where nobody says who or what for; else with the vendor's field path.
    """
    said = {name: value for name, value in fields.items() if value is not None}
    for axis in ("tenant", "feature"):
        if axis not in said:
            detail = f"nothing in the record says the {axis}: send it as metadata `{axis}` or as a tag `{axis}:...`"
            raise RefusedError(Reason.MISSING_ATTRIBUTION, axis, detail)
    try:
        return canonical_event(said)
    except RefusedError as error:
        fault = error.fault
        raise RefusedError(fault.reason, names.get(fault.path, fault.path), fault.detail) from error


def bounded_id(vendor_id: str) -> str:
    """A vendor's id, or its hash where it is longer than an event's id may be (LiteLLM: up to 400 characters)."""
    if len(vendor_id) <= ID_CHARS_MAX:
        return vendor_id
    return hashlib.blake2b(vendor_id.encode(), digest_size=32).hexdigest()
