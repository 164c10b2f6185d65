"""The formats that are taken unchanged beside canonical JSON and CloudEvents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from tokenfuse.contracts.event import CostEvent
from tokenfuse.ingest.formats import litellm


class Format(Protocol):
    """One vendor's format: a module with these two functions and a name."""

    @property
    def name(self) -> str:
        """For messages and metrics, e.g. `litellm`."""
        ...

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Whether the object is of this format. Called for every object that is not canonical: look at a few keys."""
        ...

    def to_events(self, record: Mapping[str, Any]) -> list[CostEvent]:
        """The billable calls of one recognised object; none for records that repeat others' usage.

        Numbers with a fraction come as Decimals.

        Raises:
            RefusedError: what the vendor's record lacks, with a path in the vendor's own names.
        """
        ...


FORMATS: Final[tuple[Format, ...]] = (litellm,)
