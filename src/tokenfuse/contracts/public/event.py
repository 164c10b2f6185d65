"""CostEvent v1 as a pydantic model: the published schema, and the exact field error of a bad event."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from tokenfuse.contracts.deadletter import Reason
from tokenfuse.contracts.event import COUNT_MAX, Status, Tier
from tokenfuse.contracts.public.base import CostUsd, Number, PublicModel

Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
Name = Annotated[str, Field(min_length=1, max_length=1024)]
EventTime = Annotated[
    str | int | Annotated[Number, Field(allow_inf_nan=False)],
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number", "minimum": 0}]}),
]


class _Attempt(PublicModel):
    """What an event and the `replaces` of a correction have in common."""

    time: EventTime
    """When the call ended: RFC 3339 with an offset, or a number since the epoch: seconds below 1e11, else milliseconds."""
    tenant: Name
    """Who is billed or capped."""
    feature: Name
    """Product feature or use case."""
    model: Name
    """Model that answered, its alias resolved if known."""
    input_tokens: Count
    """All input tokens, cache reads and writes included."""
    output_tokens: Count
    """All output tokens, reasoning included."""
    provider: Name | None = None
    """`openai`, `anthropic`, `aws.bedrock`, ...; inferred from the model when absent."""
    cost_usd: CostUsd | None = None
    """US dollars, as the producer says; null: TokenFuse prices the call. 0 is believed."""
    cache_read_tokens: Count = 0
    """Input tokens read from the vendor's prompt cache; a part of input_tokens."""
    cache_write_tokens: Count = 0
    """Input tokens written to the vendor's prompt cache; a part of input_tokens."""
    reasoning_tokens: Count = 0
    """Output tokens spent on reasoning; a part of output_tokens."""
    context_tokens: Count = 0
    """Input tokens that are retrieved context or history."""
    attempt: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Number of this attempt; 2 and more are retries. `trace_id` ties attempts together."""
    status: Status = "ok"
    """How the attempt ended; aborted streams still cost money."""
    response_cache_hit: bool = False
    """Answered from the caller's own response cache."""
    tier: Tier | None = None
    """Model tier; from the model catalogue when absent."""
    latency_ms: Annotated[Number, Field(ge=0, le=1e12)] | None = None
    """Duration of the whole call, milliseconds."""
    tool_calls: Count = 0
    """Tool calls that the answer made."""
    run_id: Name | None = None
    """The agent run."""
    step: Count | None = None
    """Number of this call within its run."""
    depth: Count | None = None
    """Depth of this run in the tree of runs; 0 is the root."""
    user: Name | None = None
    """Who caused the call."""
    session_id: Name | None = None
    """Attribution: session or conversation."""
    project: Name | None = None
    """Attribution: project."""
    task_type: Name | None = None
    """Attribution: kind of task."""
    technical_owner: Name | None = None
    """Attribution: team that runs the code."""
    data_class: Name | None = None
    """Attribution: class of the data processed."""
    prompt_template: Name | None = None
    """Name of the prompt template."""
    prompt_version: Name | None = None
    """Version of the prompt template."""
    application: Name | None = None
    """Attribution: application."""
    owner: Name | None = None
    """Attribution: owner."""
    team: Name | None = None
    """Attribution: team."""
    environment: Name | None = None
    """Attribution: `production`, `staging`, ..."""
    region: Name | None = None
    """Attribution: region."""
    cost_center: Name | None = None
    """Attribution: cost centre."""
    business_process: Name | None = None
    """Attribution: business process."""
    request_type: Name | None = None
    """`chat`, `embedding`, `rerank`, `tool`, `human_review`, ...: what the cost is for if it is no chat call."""
    batch: bool = False
    """Answered by the vendor's batch interface, at its price."""
    labels: Annotated[dict[str, str], Field(max_length=16)] | None = None
    """Anything else; at most 16. `service_tier` chooses the vendor's price variant."""

    @model_validator(mode="after")
    def _subsets_fit(self) -> Self:
        if self.cache_read_tokens + self.cache_write_tokens > self.input_tokens:
            raise PydanticCustomError(
                Reason.TOKENS_INCONSISTENT,
                "cache_read_tokens + cache_write_tokens are larger than input_tokens, of which they are a part",
                {"field": "cache_read_tokens"},
            )
        if self.reasoning_tokens > self.output_tokens:
            raise PydanticCustomError(
                Reason.TOKENS_INCONSISTENT,
                "reasoning_tokens is larger than output_tokens, of which it is a part",
                {"field": "reasoning_tokens"},
            )
        return self


class Replaces(_Attempt):
    """What a late revision says that it replaces: the original's time, axes, cost and tokens."""


class CostEvent(_Attempt):
    """One attempt of one model call, or another cost with 0 tokens. One JSON object per message."""

    model_config = ConfigDict(title="CostEvent")
    schema_id: ClassVar[str] = "urn:tokenfuse:schema:event:v1"

    id: Annotated[str, Field(min_length=1, max_length=128)]
    """Idempotency key: the same id is the same attempt, however often it is delivered."""
    response_cache: Literal["exact", "semantic"] | None = None
    """Kind of the caller's own response cache."""
    tool_signature: Name | None = None
    """Hash of tool name and arguments, to find repetition."""
    parent_run_id: Name | None = None
    """The run that started this run."""
    outcome: Name | None = None
    """Useful result of the call, e.g. `ticket_resolved`."""
    trace_id: Name | None = None
    """Joins with traces."""
    span_id: Name | None = None
    """Joins with traces."""
    revision: Annotated[int, Field(ge=0, le=10**9)] = 0
    """A higher revision of the same id corrects the earlier one."""
    replaces: Replaces | None = None
    """For corrections that come later than ids are remembered: what the earlier revision said."""
    quality_score: Annotated[Number, Field(ge=0, le=1)] | None = None
    """Quality of the answer, 0 to 1, if an evaluation says so."""
