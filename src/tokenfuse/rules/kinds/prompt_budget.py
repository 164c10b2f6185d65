"""Prompt budgets: input tokens per call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tokenfuse.contracts.ruleset import AnyRule, PromptBudgetRule
from tokenfuse.rules.kinds.base import SevereSpec, check_kept
from tokenfuse.rules.units import Duration, Usd


class PromptBudgetSpec(SevereSpec):
    """The mean call of a feature or template sends more input tokens than it may."""

    judges_cells: ClassVar[bool] = True

    kind: Literal["prompt_budget"]
    limit: int = Field(
        description="Input tokens per call, cache reads included; more than this fires.", ge=1, le=10**9
    )
    window: Duration = Field(description="The mean is over the calls of so long, e.g. 1h.", ge=60)
    calls_min: int = Field(description="With fewer calls in the window the rule is silent.", ge=1)
    floor_usd: Usd = Field(
        description="If the tokens above the limit cost less in the window, it is nobody's page."
    )

    @model_validator(mode="after")
    def _fits(self) -> PromptBudgetSpec:
        if "run_id" in self.axes:
            raise ValueError("axis run_id: a run's contexts are bounded by kind agent, measure context")
        check_kept(self.axes, self.window)
        return self

    def compiled(self, axis: str, root: Path) -> Iterator[AnyRule]:  # noqa: ARG002 - reads no table
        """One rule."""
        yield PromptBudgetRule(
            **self.common(axis), kind="prompt_budget", driver="prompt", severity=self.severity, limit=self.limit,
            window_seconds=self.window, calls_min=self.calls_min, floor_nanousd=self.floor_usd,
        )  # fmt: skip
