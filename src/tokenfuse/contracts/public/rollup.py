"""A rollup on `tokenfuse.rollups`, for warehouses: upsert by key, never add."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import ConfigDict, Field, create_model

from tokenfuse.contracts.measures import MEASURES
from tokenfuse.contracts.public.base import PublicModel, Time, UsdText
from tokenfuse.contracts.rollup import Granularity

_DESCRIPTIONS: Final = {
    "calls": "Calls.",
    "cost_nanousd": "Cost in nano-dollars, estimates included.",
    "unpriced": "Calls whose model has no known price.",
    "unpriced_nanousd": "Nano-dollars at which those were estimated.",
    "retries": "Calls whose attempt is 2 or more.",
    "errors": "Calls that failed or were aborted.",
    "response_cache_hits": "Calls answered from the caller's own response cache.",
    "cached_calls": "Calls with any cache read.",
    "tool_calls": "Tool calls made by the answers.",
    "latency_ms": "Sum of the latencies, milliseconds.",
    "latency_calls": "Calls that said their latency.",
    "prompt_log": "Sum of round(256 * log2(1 + input_tokens)).",
    "prompt_log_sq": "Sum of the squares of those.",
    "output_log": "Sum of round(256 * log2(1 + output_tokens)).",
    "output_log_sq": "Sum of the squares of those.",
    "off_book_nanousd": "What producers' prices come to above the price book's, nano-dollars; negative below.",
    "runs": "First calls of agent runs.",
    "children": "First calls of sub-agents; on axis `run_id` at the parent.",
    "tool_sketch": "On axis `run_id`: sketch of which tool calls repeat; 0 on all others.",
}


class _RollupBase(PublicModel):
    """The sums of one scope over one pane. Key: scope, granularity, pane start; the highest `revision` is the truth."""

    model_config = ConfigDict(title="Rollup")
    schema_id: ClassVar[str] = "urn:tokenfuse:schema:rollup:v1"

    axis: str
    """Field of CostEvent, `cell` (tenant, feature, model and prompt template together) or `global`."""
    value: str
    """Value of that field; canonical scope key for `cell`, empty for `global`."""
    granularity: Granularity
    """Length of the pane; `late_...`: what came after such a pane could be revised; `total`: since `pane_start`."""
    pane_start: Time
    """Start of the pane, in event time."""
    revision: int
    """Grows when late events arrive."""
    cost_usd: UsdText
    """`cost_nanousd` in US dollars."""


def _describe(measure: str) -> str:
    if measure in _DESCRIPTIONS:
        return _DESCRIPTIONS[measure]
    if measure.startswith("tier_"):
        return f"Calls answered by models of tier {measure.removeprefix('tier_')}."
    return (
        f"Sum of {measure} over the calls, tokens." if measure.endswith("_tokens") else f"Sum of {measure}."
    )


_SUMS: dict[str, Any] = {name: Annotated[int, Field(description=_describe(name))] for name in MEASURES}

# The measures are the columns of the wire format; naming them twice would let them drift apart.
Rollup = create_model("Rollup", __base__=_RollupBase, __doc__=_RollupBase.__doc__, **_SUMS)
