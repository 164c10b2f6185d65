"""LiteLLM's `StandardLoggingPayload` (litellm/types/utils.py, 1.109): one per attempt, as its callbacks get it.

Its prompt_tokens contain cache reads and writes, its completion_tokens contain reasoning (EVENTS.md, tables 0 and 0b).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tokenfuse.contracts.event import CostEvent, Status
from tokenfuse.ingest.fault import RefusedError
from tokenfuse.ingest.formats.attribution import first, from_metadata, from_tags, text
from tokenfuse.ingest.formats.build import bounded_id, vendor_event
from tokenfuse.ingest.times import time_ms

name: Final = "litellm"

VENDOR_NAMES: Final = {
    "time": "endTime",
    "cost_usd": "response_cost",
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "cache_read_tokens": "metadata.usage_object.prompt_tokens_details.cached_tokens",
    "cache_write_tokens": "metadata.usage_object.prompt_tokens_details.cache_creation_tokens",
    "reasoning_tokens": "metadata.usage_object.completion_tokens_details.reasoning_tokens",
    "provider": "custom_llm_provider",
    "attempt": "hidden_params.additional_headers.x-litellm-attempted-retries",
    "latency_ms": "startTime",
}
RETRIES_HEADER: Final = "x-litellm-attempted-retries"
CACHE_HIT: Final = "_cache_hit"
REVISION_MAX: Final = 10**9

Record = Mapping[str, Any]


def recognises(record: Record) -> bool:
    """A payload always has these, even for a failure."""
    return "litellm_call_id" in record or ("call_type" in record and "response_cost" in record)


def to_events(record: Record) -> list[CostEvent]:
    """One event; none where a stored response was only read again (its creation was billed).

    Raises:
        RefusedError: see `formats.registry.Format`.
    """
    background = _part(record, "response").get("background") is True
    if record.get("call_type") in ("aget_responses", "get_responses") and not background:
        return []
    fields = {
        **_attribution(record),
        **_usage(record),
        "id": _id(record),
        "time": record.get("endTime"),
        "model": record.get("model") or None,
        "provider": record.get("custom_llm_provider") or None,
        "attempt": _attempt(record),
        "status": _status(record),
        "response_cache_hit": _is_cache_hit(record),
        "latency_ms": _latency_ms(record),
        **_tools(record),
    }
    fields["cost_usd"] = _cost_usd(record, fields["input_tokens"], fields["output_tokens"])
    if background:
        # Creation and polls share one id: the one with the usage is the truth, however they arrive.
        fields["revision"] = min(
            _count(fields["input_tokens"]) + _count(fields["output_tokens"]), REVISION_MAX
        )
    return [vendor_event(fields, VENDOR_NAMES)]


def _attribution(record: Record) -> dict[str, Any]:
    metadata = _part(record, "metadata")
    prompt = _part(metadata, "prompt_management_metadata")
    key = {
        "tenant": _first_text(
            metadata, "user_api_key_team_alias", "user_api_key_team_id", "team_alias", "team_id"
        ),
        "application": text(metadata.get("user_api_key_alias")),
        "user": text(record.get("end_user"))
        or text(metadata.get("user_api_key_end_user_id"))
        or text(_part(record, "model_parameters").get("user")),
        "prompt_template": text(prompt.get("prompt_id")),
        "trace_id": text(record.get("trace_id")),
        "session_id": text(record.get("session_id")),
    }
    return first(
        (
            from_metadata(metadata.get("requester_metadata")),
            from_metadata(metadata.get("spend_logs_metadata")),
            from_tags(record.get("request_tags")),
            {name: value for name, value in key.items() if value is not None},
            _service_tier(record),
        )
    )


def _service_tier(record: Record) -> dict[str, Any]:
    """The tier that was billed, as the label by which the price book chooses its variant."""
    tier = text(_part(record, "cost_breakdown").get("service_tier")) or text(
        _part(record, "response").get("service_tier")
    )
    return {"labels": {"service_tier": tier}} if tier else {}


def _usage(record: Record) -> dict[str, Any]:
    """Cache counts are not at the top level: they live in the raw usage, in Anthropic's words or OpenAI's."""
    usage = (
        _part(_part(record, "metadata"), "usage_object")
        or _part(_part(record, "hidden_params"), "usage_object")
        or _part(_part(record, "response"), "usage")
    )
    inputs = _part(usage, "prompt_tokens_details") or _part(usage, "input_tokens_details")
    outputs = _part(usage, "completion_tokens_details") or _part(usage, "output_tokens_details")
    return {
        "input_tokens": record.get("prompt_tokens"),
        "output_tokens": record.get("completion_tokens"),
        "cache_read_tokens": _said(usage.get("cache_read_input_tokens"), inputs.get("cached_tokens")),
        "cache_write_tokens": _said(
            usage.get("cache_creation_input_tokens"),
            inputs.get("cache_creation_tokens"),
            inputs.get("cache_write_tokens"),
        ),
        "reasoning_tokens": outputs.get("reasoning_tokens"),
    }


def _cost_usd(record: Record, input_tokens: Any, output_tokens: Any) -> Any:
    """LiteLLM writes 0 where it knows no price: with tokens, and not from its own cache, that says nothing."""
    cost = record.get("response_cost")
    has_tokens = _count(input_tokens) + _count(output_tokens) > 0
    return None if cost == 0 and has_tokens and not _is_cache_hit(record) else cost


def _id(record: Record) -> Any:
    """The attempt's own id, the same however often the payload is delivered.

    A hit of LiteLLM's cache gets the time of its logging in its id, hence the call's id there. All failed attempts of
    one proxy call have the call's id, hence the time of the failure beside it.
    """
    id_, call_id = record.get("id"), text(record.get("litellm_call_id"))
    if not isinstance(id_, str):
        return id_
    if _is_cache_hit(record):
        id_ = f"{call_id}{CACHE_HIT}" if call_id else id_
    elif record.get("status") == "failure" and id_ == call_id:
        id_ = f"{id_}_failure{_ms(record.get('endTime'))}"
    return bounded_id(id_)


def _is_cache_hit(record: Record) -> bool:
    return record.get("cache_hit") is True or CACHE_HIT in str(record.get("id"))


def _status(record: Record) -> Status:
    error_class = _part(record, "error_information").get("error_class")
    if error_class == "ClientDisconnected":
        return "aborted"  # its status is `success`
    if record.get("status") != "failure":
        return "ok"
    guardrail = _part(record, "status_fields").get("guardrail_status")
    return (
        "blocked" if error_class == "BudgetExceededError" or guardrail == "guardrail_intervened" else "error"
    )


def _attempt(record: Record) -> Any:
    retries = _part(_part(record, "hidden_params"), "additional_headers").get(RETRIES_HEADER)
    if isinstance(retries, str) and retries.isascii() and retries.isdigit():
        retries = int(retries)  # headers are text, unless the router put it there
    return retries + 1 if isinstance(retries, int) and not isinstance(retries, bool) else None


def _latency_ms(record: Record) -> int | None:
    """The whole call; `response_time` is that of the first token when streaming."""
    start, end = _ms(record.get("startTime")), _ms(record.get("endTime"))
    return end - start if start and end and end >= start else None


def _tools(record: Record) -> dict[str, Any]:
    """Number of tool calls that the answer made, and a hash of their names and arguments."""
    choices = _part(record, "response").get("choices")
    messages = (
        [_part(c, "message") for c in choices if isinstance(c, Mapping)] if isinstance(choices, list) else []
    )
    lists = [message.get("tool_calls") for message in messages]
    calls = [_part(call, "function") for found in lists if isinstance(found, list) for call in found]
    mcp = _part(_part(record, "metadata"), "mcp_tool_call_metadata")
    signed = calls or ([mcp] if mcp else [])
    if not signed:
        return {}
    text_ = msgspec.json.encode(
        [[call.get("name"), call.get("arguments")] for call in signed], order="sorted"
    )
    return {"tool_calls": len(calls), "tool_signature": hashlib.blake2b(text_, digest_size=16).hexdigest()}


def _part(record: Any, name: str) -> Record:
    """A nested object, or an empty one where it is null, absent or of another type."""
    value = record.get(name) if isinstance(record, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _first_text(record: Record, *names: str) -> str | None:
    return next((found for found in (text(record.get(name)) for name in names) if found), None)


def _said(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _ms(time: Any) -> int | None:
    try:
        return time_ms(float(time) if not isinstance(time, (str, int)) else time)
    except (RefusedError, TypeError, ValueError):
        return None
