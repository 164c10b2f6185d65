"""Limits and loops of agents, compiled."""

from __future__ import annotations

from typing import Literal

from tokenfuse.contracts.rulekinds.base import Rule

AgentMeasure = Literal[
    "steps",
    "depth",
    "tool_calls",
    "tokens",
    "seconds",
    "retries",
    "children",
    "context",
    "repetition",
    "runs",
]


class AgentRule(Rule, frozen=True, kw_only=True, tag="agent"):
    """An agent run does more than it may, or more than runs of its feature ever did.

    Attributes:
        measure: of one run since it began. steps: its largest step, or its calls where producers do not say steps.
            tokens: input and output. seconds: from its first to its newest call. children: sub-agents that it started.
            context: mean input tokens of its calls in the last ten minutes. repetition: how often it made the average
            tool call (contracts.sketch). On other axes than run_id: of all runs in the last `window_seconds`, one of
            runs, children, tool_calls, tokens, retries.
        limit: more than this fires; None: none.
        times_record: more than so many times the largest value of the feature's runs in the days before fires;
            None: no record is asked. record_days_min: with fewer days of its own a feature borrows the largest record
            of any other feature.
        at_least: a value up to this never fires.
        floor_nanousd: a run (other axes: the window) that cost less is nobody's page.
    """

    measure: AgentMeasure
    limit: int | None = None
    times_record: float | None = None
    record_days_min: int = 3
    at_least: int = 0
    floor_nanousd: int = 0
    window_seconds: int = 0
