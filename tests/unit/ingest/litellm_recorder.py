"""Records payloads from the real LiteLLM, offline: `mock_response` stands for the vendor, everything else is its own.

Run as a program it writes the golden file anew: `python tests/unit/ingest/litellm_recorder.py`.
"""

import asyncio
import contextlib
import json
import os
from pathlib import Path

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = (
    "True"  # before the import: else it fetches prices from the network
)

import litellm
from litellm.integrations.custom_logger import CustomLogger

GOLDEN = Path(__file__).parent / "golden" / "litellm.jsonl"
MESSAGES = [{"role": "user", "content": "How do I reset my password?"}]
METADATA = {
    "spend_logs_metadata": {"tenant": "acme", "feature": "support", "team": "blue"},
    "tags": ["feature:other", "environment:test"],
}
MODELS = ("gpt-4o-mini", "gpt-4.1", "claude-sonnet-4-5-20250929", "gemini/gemini-2.5-flash")


class Recorder(CustomLogger):
    """Keeps every payload that LiteLLM would have logged."""

    def __init__(self) -> None:
        super().__init__()
        self.payloads: list[dict] = []
        self.complete = asyncio.Event()

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time) -> None:
        self.payloads.append(kwargs["standard_logging_object"])
        if len(self.payloads) == EXPECTED:
            self.complete.set()

    async_log_failure_event = async_log_success_event


def usage(prompt: int, completion: int, **details) -> litellm.Usage:
    return litellm.Usage(
        prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, **details
    )


def answer(model: str, used: litellm.Usage) -> litellm.ModelResponse:
    message = {"role": "assistant", "content": "Click on the link."}
    return litellm.ModelResponse(model=model, choices=[{"message": message}], usage=used)


async def calls() -> None:
    """One of each kind: answers, streams, a failure, cache tokens in both vendors' words, an unknown model."""
    for model in MODELS:
        await complete(model, "Click on the link.")
        async for _ in await complete(
            model, "Click on the link.", stream=True, stream_options={"include_usage": True}
        ):
            pass
    with contextlib.suppress(litellm.InternalServerError):
        await complete("gpt-4o-mini", Exception("overloaded"))
    openai = {
        "prompt_tokens_details": {"cached_tokens": 1536},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    await complete("gpt-4o-mini", answer("gpt-4o-mini", usage(2000, 100, **openai)))
    anthropic = {"cache_creation_input_tokens": 500, "cache_read_input_tokens": 1000}
    await complete(MODELS[2], answer(MODELS[2], usage(3000, 50, **anthropic)))
    await complete("openai/in-house-7", "hi")


async def complete(model: str, mock_response, **options):
    """One call of the SDK."""
    return await litellm.acompletion(
        model=model, messages=MESSAGES, mock_response=mock_response, metadata=METADATA, user="u-17", **options
    )


EXPECTED = 2 * len(MODELS) + 4


def record() -> list[dict]:
    """The payloads as JSON documents, in the order in which LiteLLM logged them."""
    recorder = Recorder()

    async def run() -> None:
        before, litellm.callbacks = litellm.callbacks, [recorder]
        try:
            await calls()
            await asyncio.wait_for(recorder.complete.wait(), timeout=60)  # LiteLLM logs in the background
        finally:
            litellm.callbacks = before

    litellm.suppress_debug_info = True
    asyncio.run(run())
    return json.loads(json.dumps(recorder.payloads, default=str))


def shortened(payload: dict) -> dict:
    """Without what is long and says nothing here: LiteLLM's own price table and the paths of a traceback."""
    error = {**payload["error_information"], "traceback": ""}
    debug = payload["response_cost_failure_debug_info"]
    return {
        **payload,
        "model_map_information": None,
        "error_information": error,
        "response_cost_failure_debug_info": debug and {**debug, "traceback_str": ""},
    }


if __name__ == "__main__":
    GOLDEN.write_text("".join(json.dumps(shortened(payload)) + "\n" for payload in record()))
