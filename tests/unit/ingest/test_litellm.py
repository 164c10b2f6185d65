"""LiteLLM's payloads: taken unchanged, billed once, at its price where it has one."""

import copy
import json
from decimal import Decimal
from pathlib import Path

import pytest

from tokenfuse.contracts.deadletter import Reason
from tokenfuse.contracts.event import CostEvent
from tokenfuse.ingest.decode import Decoder, to_events
from tokenfuse.ingest.fault import DeadLetterFault
from tokenfuse.pricing.book import PriceBook

GOLDEN = [
    json.loads(line) for line in (Path(__file__).parent / "golden" / "litellm.jsonl").read_text().splitlines()
]
DECODER = Decoder(("team", "environment", "application", "provider"), 30 * 86_400, 600, PriceBook())
OK = GOLDEN[0]
FAILED = next(p for p in GOLDEN if p["status"] == "failure")
UNKNOWN = next(p for p in GOLDEN if p["model"] == "in-house-7")


def changed(payload: dict, **paths) -> dict:
    """A copy with values put in; `a__b=1` puts 1 at payload["a"]["b"]."""
    payload = copy.deepcopy(payload)
    for path, value in paths.items():
        *parents, last = path.split("__")
        node = payload
        for parent in parents:
            node[parent] = dict(node.get(parent) or {})
            node = node[parent]
        node[last] = value
    return payload


def event(payload: dict) -> CostEvent:
    (found,) = to_events(json.dumps(payload).encode(), ())
    return found


def call(payload: dict):
    (found,) = DECODER.decode(json.dumps(payload).encode(), (), None)
    return found


def unattributed(payload: dict) -> dict:
    return changed(payload, metadata__spend_logs_metadata=None, request_tags=[])


def nanousd(usd: float) -> int:
    return int((Decimal(repr(usd)) * 10**9).to_integral_value())


@pytest.fixture(scope="module")
def recorded() -> list[dict]:
    import litellm_recorder  # imports LiteLLM, which takes seconds: only where it is used

    return litellm_recorder.record()


def test_what_the_real_litellm_logs_is_taken_unchanged_at_its_price(recorded):
    """Success, stream, failure and cache tokens of four models: its response_cost, to the nano-dollar."""
    for payload in recorded:
        got = call(payload)
        if payload["model"] == "in-house-7":
            assert (got.unpriced, got.cost_nanousd) == (True, 10 * 15_000 + 20 * 75_000)
        else:
            assert abs(got.cost_nanousd - nanousd(payload["response_cost"])) <= 1
            assert not got.unpriced
        assert (got.input_tokens, got.output_tokens) == (
            payload["prompt_tokens"],
            payload["completion_tokens"],
        )
        assert (got.tenant, got.feature, got.user) == ("acme", "support", "u-17")
        assert got.error == (payload["status"] == "failure")
    assert {(c.cache_read_tokens, c.cache_write_tokens, c.reasoning_tokens) for c in map(call, recorded)} == {
        (0, 0, 0), (1536, 0, 30), (1000, 500, 0),
    }  # fmt: skip
    assert len({call(payload).id for payload in recorded}) == len(recorded)


def test_our_own_price_of_the_same_calls_is_litellms(recorded):
    """With response_cost taken away we price them ourselves, from other data: genai-prices instead of LiteLLM's map.

    Both have the vendors' list prices for these models, so there is no difference to explain here. Where they differ
    in the field it is by: Anthropic's one-hour cache writes (2x, we take the five-minute 1.25x unless the producer says
    the cost), audio and image tokens (we take the text price), tool and guardrail fees (in response_cost only),
    discounts and margins of the proxy, and models that only one of both knows.
    """
    priced = [p for p in recorded if p["model"] != "in-house-7"]
    for payload in priced:
        ours = call(changed(payload, response_cost=None))
        assert abs(ours.cost_nanousd - nanousd(payload["response_cost"])) <= 1, payload["model"]


def test_the_golden_payloads_are_read_as_before():
    calls = [call(payload) for payload in GOLDEN]
    assert [c.cost_nanousd for c in calls] == [
        13_500, 5_100, 180_000, 68_000, 330_000, 117_000, 53_000, 16_700, 0, 244_800, 7_425_000, 1_650_000,
    ]  # fmt: skip
    assert [c.unpriced for c in calls] == [False] * 11 + [True]
    assert calls[0].further == ("blue", "test", None, "openai")
    assert all(c.latency_ms >= 0 for c in calls)


def test_an_array_of_payloads_is_one_message_of_many_calls():
    calls = DECODER.decode(json.dumps(GOLDEN).encode(), (), None)
    assert calls == tuple(call(payload) for payload in GOLDEN)


def test_a_payload_inside_a_cloudevent_is_read():
    envelope = {"specversion": "1.0", "id": "x", "source": "s", "type": "t", "data": OK}
    headers = [("content-type", b"application/cloudevents+json")]
    assert DECODER.decode(json.dumps(envelope).encode(), headers, None) == (call(OK),)


def test_zero_with_tokens_says_nothing_and_we_price_the_call():
    assert event(changed(OK, response_cost=0.0)).cost_usd is None
    assert call(changed(OK, response_cost=0.0)).cost_nanousd == 13_500
    assert event(changed(OK, response_cost=0.0, prompt_tokens=0, completion_tokens=0)).cost_usd == 0


def test_cache_counts_come_from_the_raw_usage_wherever_it_is():
    details = {"prompt_tokens_details": {"cached_tokens": 7, "cache_creation_tokens": 2}}
    responses_api = {
        "input_tokens_details": {"cached_tokens": 7},
        "output_tokens_details": {"reasoning_tokens": 3},
    }
    first = event(changed(OK, metadata__usage_object=details))
    second = event(changed(OK, metadata__usage_object={}, hidden_params__usage_object=responses_api))
    third = event(changed(OK, metadata__usage_object=None, response__usage=responses_api))
    assert (first.cache_read_tokens, first.cache_write_tokens, first.input_tokens) == (7, 2, 10)
    assert (second.cache_read_tokens, second.reasoning_tokens) == (
        third.cache_read_tokens,
        third.reasoning_tokens,
    )
    assert (second.cache_read_tokens, second.reasoning_tokens) == (7, 3)


def test_a_hit_of_its_own_cache_is_free_and_its_id_does_not_change_with_each_delivery():
    hits = [
        changed(OK, cache_hit=True, response_cost=0.0, id=f"{OK['id']}_cache_hit{at}")
        for at in (1763985600.1, 1763985601.2)
    ]
    assert event(hits[0]).id == event(hits[1]).id != event(OK).id
    assert (call(hits[0]).response_cache_hit, call(hits[0]).cost_nanousd, call(hits[0]).unpriced) == (
        True,
        0,
        False,
    )


def test_the_failed_attempts_of_one_proxy_call_are_different_attempts():
    """They have the same id, the call's; the same failure delivered twice stays one."""
    later = changed(FAILED, endTime=FAILED["endTime"] + 1.5)
    assert event(FAILED).id != event(later).id
    assert event(FAILED).id == event(copy.deepcopy(FAILED)).id


@pytest.mark.parametrize(("retries", "attempt"), [(0, 1), (2, 3), ("2", 3), (None, 1), ("many", 1)])
def test_the_number_of_retries_gives_the_attempt(retries, attempt):
    headers = {"x-litellm-attempted-retries": retries}
    assert event(changed(OK, hidden_params__additional_headers=headers)).attempt == attempt


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (OK, "ok"), (FAILED, "error"), (changed(OK, error_information__error_class="ClientDisconnected"), "aborted"),
        (changed(FAILED, error_information__error_class="BudgetExceededError"), "blocked"),
        (changed(FAILED, status_fields__guardrail_status="guardrail_intervened"), "blocked"),
    ],
)  # fmt: skip
def test_the_status_is_told_from_more_than_its_name(payload, status):
    assert event(payload).status == status


def test_a_failure_with_tokens_and_cost_is_billed():
    got = call(changed(FAILED, prompt_tokens=10, completion_tokens=1, response_cost=0.002))
    assert (got.error, got.cost_nanousd) == (True, 2_000_000)


def test_reading_a_stored_response_again_is_not_billed():
    assert DECODER.decode(json.dumps(changed(OK, call_type="aget_responses")).encode(), (), None) == ()


def test_a_background_response_is_billed_by_the_poll_that_has_the_usage():
    created = changed(OK, call_type="aresponses", response__background=True, prompt_tokens=0, completion_tokens=0,
                      response_cost=0.0)  # fmt: skip
    done = changed(OK, call_type="aget_responses", response__background=True)
    assert event(created).id == event(done).id
    assert event(done).revision > event(created).revision == 0


def test_attribution_goes_by_the_callers_metadata_then_tags_then_team_and_key():
    both = changed(
        OK, metadata__requester_metadata={"tenant": "first", "cost_center": 42, "step": 3, "junk": [1]}
    )
    assert (event(both).tenant, event(both).feature, event(both).cost_center, event(both).step) == (
        "first", "support", "42", 3,
    )  # fmt: skip
    tags = changed(
        unattributed(OK), request_tags=["feature:chat", "tenant:a:b", "User-Agent: x", "feature:no", 5]
    )
    assert (event(tags).tenant, event(tags).feature) == ("a:b", "chat")
    proxy = changed(
        tags, request_tags=["feature:chat"], metadata__user_api_key_team_id="t-1", metadata__user_api_key_alias="web",
        end_user="e-9",
    )  # fmt: skip
    assert (event(proxy).tenant, event(proxy).application, event(proxy).user) == ("t-1", "web", "e-9")
    assert event(changed(proxy, metadata__user_api_key_team_alias="Blue")).tenant == "Blue"


def test_without_tenant_or_feature_the_operator_is_told_what_to_send():
    for payload, axis in (
        (unattributed(OK), "tenant"),
        (changed(unattributed(OK), request_tags=["tenant:a"]), "feature"),
    ):
        fault = DECODER.decode(json.dumps(payload).encode(), (), None)
        assert (fault.reason, fault.path) == (Reason.MISSING_ATTRIBUTION, axis)
        assert f"`{axis}:" in fault.detail


def test_the_template_comes_from_prompt_management():
    assert (
        event(changed(OK, metadata__prompt_management_metadata={"prompt_id": "greet"})).prompt_template
        == "greet"
    )


def test_a_long_id_becomes_a_hash_of_itself():
    first, second = (event(changed(OK, id="resp_" + "x" * 400 + end)).id for end in "ab")
    assert first != second
    assert len(first) == 64


def test_tool_calls_are_counted_and_signed():
    def tools(arguments: str) -> dict:
        function = {"name": "search", "arguments": arguments}
        return changed(OK, response__choices=[{"message": {"tool_calls": [{"function": function}] * 2}}])

    assert event(tools("{}")).tool_calls == 2
    assert (
        event(tools("{}")).tool_signature
        == event(tools("{}")).tool_signature
        != event(tools("[]")).tool_signature
    )
    mcp = event(changed(OK, metadata__mcp_tool_call_metadata={"name": "search", "arguments": {"q": 1}}))
    assert (mcp.tool_calls, mcp.tool_signature is not None) == (0, True)


def test_the_latency_is_that_of_the_whole_call_not_of_the_first_token():
    assert (
        event(changed(OK, startTime=1763985600.0, endTime=1763985602.5, response_time=0.1)).latency_ms == 2500
    )


@pytest.mark.parametrize(
    ("changes", "reason", "path"),
    [
        ({"id": None}, Reason.MISSING_FIELD, "id"),
        ({"model": ""}, Reason.MISSING_FIELD, "model"),
        ({"endTime": None}, Reason.MISSING_FIELD, "endTime"),
        ({"endTime": 0}, Reason.TIME_TOO_OLD, "time"),
        ({"prompt_tokens": -1}, Reason.OUT_OF_RANGE, "prompt_tokens"),
        ({"prompt_tokens": 2.5}, Reason.WRONG_TYPE, "prompt_tokens"),
        ({"completion_tokens": 2**63}, Reason.OUT_OF_RANGE, "completion_tokens"),
        ({"completion_tokens": None}, Reason.MISSING_FIELD, "completion_tokens"),
        ({"response_cost": -0.1}, Reason.NEGATIVE_COST, "response_cost"),
        ({"response_cost": "free"}, Reason.WRONG_TYPE, "response_cost"),
        ({"metadata__usage_object": {"cache_read_input_tokens": 11}}, Reason.TOKENS_INCONSISTENT,
         "metadata.usage_object.prompt_tokens_details.cached_tokens"),
    ],
)  # fmt: skip
def test_a_bad_payload_is_refused_with_the_path_in_litellms_names(changes, reason, path):
    fault = DECODER.decode(json.dumps(changed(OK, **changes)).encode(), (), None)
    assert isinstance(fault, DeadLetterFault)
    assert (fault.reason, fault.path) == (reason, path)


@pytest.mark.parametrize("junk", [None, 5, "x", [], [5], {"a": [None]}, True])
@pytest.mark.parametrize("name", sorted(OK))
def test_junk_in_any_field_never_is_an_error_of_ours(name, junk):
    result = DECODER.decode(json.dumps({**OK, name: junk}).encode(), (), None)
    assert isinstance(result, tuple) or result.reason is not Reason.INTERNAL_ERROR
