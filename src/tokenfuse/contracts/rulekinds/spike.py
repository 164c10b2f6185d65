"""Spikes, compiled."""

from __future__ import annotations

from typing import Literal

from tokenfuse.contracts.rulekinds.base import Rule


class SpikeRule(Rule, frozen=True, kw_only=True, tag="spike"):
    """A pane's spend over `factor` times the mean of the panes before it.

    Attributes:
        pane: `1h` or `1d`. history_panes: how many panes the mean is over. history_panes_min: below this many
            panes since the scope was first seen the rule is silent.
        floor_nanousd: excess below this is nobody's page.
    """

    pane: Literal["1h", "1d"]
    factor: float
    history_panes: int
    history_panes_min: int
    floor_nanousd: int
