"""Volume: more calls than a scope has ever had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from tokenfuse.contracts.rulekinds.volume import VolumeRule
from tokenfuse.contracts.ruleset import AnyRule
from tokenfuse.rules.kinds.learned import LearnedSpec


class VolumeSpec(LearnedSpec):
    """More calls than the scope's record, and than this time of the day usually brings."""

    kind: Literal["volume"]
    ratio_min: float = Field(
        description="Times the larger of what is usual at this hour and what the hours before brought.", gt=1
    )
    record_factor: float = Field(
        description="Times the most calls of such a window in the scope's last 14 ordinary days.",
        ge=1,
        le=100,
    )

    def compiled(self, axis: str, root: Path) -> Iterator[AnyRule]:  # noqa: ARG002 - reads no table
        """One rule per step of the ladder."""
        for fields in self.ladder(axis):
            yield VolumeRule(
                **fields, kind="drift", driver="volume", ratio_min=float(self.ratio_min),
                record_factor=float(self.record_factor),
            )  # fmt: skip
