"""The small company of the demo: five tenants, what they do with models, and which traced client each feature follows."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Feature(Struct, frozen=True, kw_only=True):
    """One feature of one tenant.

    Attributes:
        kind, client: the traced client whose rhythm and lengths it has.
        calls_per_hour: on average over the two weeks.
        prefix_tokens: system prompt and documents before the traced prompt, which the vendor caches.
        cached_share: of the calls that find the prefix cached.
        users: how many people use it; few of them make most calls.
    """

    tenant: str
    name: str
    kind: str
    client: str
    model: str
    prompt_template: str
    calls_per_hour: float
    prefix_tokens: int = 0
    cached_share: float = 0.0
    users: int = 40


SUPPORT: Final = Feature(
    tenant="acme", name="support-chat", kind="language m-large", client="48", model="claude-sonnet-4-5",
    prompt_template="support-answer", calls_per_hour=60, prefix_tokens=9000, cached_share=0.93,
)  # fmt: skip
CONTRACTS: Final = Feature(
    tenant="globex", name="contract-review", kind="language m-large", client="140", model="gpt-4o",
    prompt_template="review-clause", calls_per_hour=50, prefix_tokens=3000,
)  # fmt: skip
FEATURES: Final = (
    SUPPORT,
    Feature(
        tenant="acme", name="order-status", kind="language m-large", client="56", model="gpt-4o-mini",
        prompt_template="order-lookup", calls_per_hour=40, prefix_tokens=1100, cached_share=0.8,
    ),
    CONTRACTS,
    Feature(
        tenant="initech", name="doc-search", kind="language m-small", client="36", model="gemini-2.5-flash",
        prompt_template="search-answer", calls_per_hour=40, prefix_tokens=2500, cached_share=0.6,
    ),
    Feature(
        tenant="umbrella", name="ticket-triage", kind="language m-large", client="78", model="gpt-5-nano",
        prompt_template="triage", calls_per_hour=40,
    ),
    Feature(
        tenant="hooli", name="trip-planner", kind="reason deepseek-r1", client="20", model="o4-mini",
        prompt_template="plan-trip", calls_per_hour=15,
    ),
)  # fmt: skip
"""All but the coding agent, whose calls come in runs."""

AGENT_TENANT: Final = "hooli"
AGENT_FEATURE: Final = "code-agent"
AGENT_TEMPLATE: Final = "agent-loop"
AGENT_RUNS_PER_DAY: Final = 5
TENANTS: Final = tuple(dict.fromkeys(feature.tenant for feature in FEATURES))
ALL_FEATURES: Final = (*(feature.name for feature in FEATURES), AGENT_FEATURE)
