"""Alerts for the notify tests: the incidents of the golden files, and one to vary."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tokenfuse.contracts.alert import Alert, ContributorUsd, CostChange, DriverUsd, Enforcement

CACHE = Alert(
    fingerprint="5f0c2d9a1b3e4f67",
    seq=100,
    rule="cache-hit-drift",
    kind="drift",
    driver="cache",
    scope={"tenant": "acme", "feature": "chat"},
    state="firing",
    starts_at="2026-11-24T22:00:00Z",
    at="2026-11-24T22:12:05.250Z",
    severity="page",
    value=0.31,
    threshold=0.62,
    unit="share",
    excess_usd="81.204500001",
    excess_usd_per_hour="402.9",
    summary="Since 22:00 only 31 % of acme's chat prompts come from the cache, where 71 % is normal.",
    drivers=(
        DriverUsd(driver="cache", usd="76.9"),
        DriverUsd(driver="volume", usd="6.1"),
        DriverUsd(driver="output", usd="-1.795499999"),
    ),
    contributors=(
        ContributorUsd(axis="prompt_template", value="support-v7", usd="70.2", share=0.864),
        ContributorUsd(axis="model", value="claude-opus-5", usd="11", share=0.136),
    ),
    examples=("evt-000412", "evt-000413", "evt-000977"),
    runbook="https://runbooks.example.com/cache?rule=drift&v=2",
    cost_change=CostChange(
        starts_at="2026-11-24T22:00:00Z",
        ends_at="2026-11-24T22:12:00Z",
        spent_usd="100.104500001",
        usual_usd="18.9",
    ),
)

CAP_ENFORCED = replace(
    CACHE,
    fingerprint="00aa11bb22cc33dd",
    rule="tenant-daily-cap",
    kind="cap",
    driver="volume",
    scope={"tenant": "R&D <globex>"},
    value=250.4,
    threshold=250.0,
    unit="usd",
    summary="R&D <globex> has spent $250.40 today; its cap is $250.",
    drivers=(DriverUsd(driver="volume", usd="150"), DriverUsd(driver="prompt", usd="2.2")),
    contributors=(),
    cost_change=CostChange(
        starts_at="2026-11-24T00:00:00Z", ends_at="2026-11-24T22:12:00Z", spent_usd="250.4", usual_usd="98.2"
    ),
    runbook=None,
    action="block",
    enforcement=Enforcement(action="block", mode="enforce", expires_at="2026-11-25T00:00:00Z", generation=42),
    acked_by="alice@cli",
)

RESOLVED = replace(CACHE, seq=130, state="resolved", at="2026-11-24T22:55:00Z", excess_usd="288.4", value=0.7)
INFO = replace(CACHE, fingerprint="1111222233334444", severity="info", runbook=None)
TICKET_SHADOW = replace(
    CACHE,
    severity="ticket",
    kind="agent",
    driver="loop",
    scope={"run_id": "run-77", "tenant": "acme", "labels.squad": "blue"},
    drivers=(DriverUsd(driver="loop", usd="81.204500001"),),
    cost_change=CostChange(
        starts_at="2026-11-24T21:50:00Z",
        ends_at="2026-11-24T22:12:05Z",
        spent_usd="90.304500001",
        usual_usd="9.1",
    ),
    action="block",
    enforcement=Enforcement(action="block", mode="shadow", expires_at="2026-11-24T23:00:00Z", generation=7),
)

SILENCE = replace(
    CACHE,
    fingerprint="7777888899990000",
    rule="silence.tenant",
    kind="absence",
    driver="volume",
    scope={"tenant": "acme"},
    severity="ticket",
    value=139.6,
    threshold=37.5,
    unit="count",
    excess_usd="0",
    excess_usd_per_hour="0",
    summary="Tenant acme has made no calls (about 140 are usual, limit 38) since 22:00 UTC; they usually cost $1.20 in that "
    "time; most of it feature chat (86 %); this rule stops nothing.",
    drivers=(DriverUsd(driver="volume", usd="-1.2"),),
    cost_change=CostChange(
        starts_at="2026-11-24T22:00:00Z", ends_at="2026-11-24T22:12:00Z", spent_usd="0", usual_usd="1.2"
    ),
    contributors=(ContributorUsd(axis="feature", value="chat", usd="1.03", share=0.86),),
    examples=("evt-000412",),
)

NOVELTY = replace(
    CACHE,
    fingerprint="aaaabbbbccccdddd",
    rule="new-model",
    kind="novelty",
    driver="volume",
    scope={"model": "gpt-9"},
    severity="ticket",
    value=12.0,
    threshold=5.0,
    unit="usd",
    excess_usd="12",
    excess_usd_per_hour="60",
    summary="Model gpt-9 is new and has spent $12.00 (limit $5.00) since 22:00 UTC; now $60.00 an hour; largest part tenant acme "
    "($9.00, 75 %); this rule stops nothing.",
    drivers=(DriverUsd(driver="volume", usd="12"),),
    cost_change=CostChange(
        starts_at="2026-11-24T22:00:00Z", ends_at="2026-11-24T22:12:00Z", spent_usd="12", usual_usd="0"
    ),
    contributors=(ContributorUsd(axis="tenant", value="acme", usd="9", share=0.75),),
    examples=("evt-000412",),
)

GOLDEN = {
    "page": CACHE,
    "page-enforced-acknowledged": CAP_ENFORCED,
    "resolved": RESOLVED,
    "info": INFO,
    "ticket-shadow": TICKET_SHADOW,
    "novelty": NOVELTY,
    "silence": SILENCE,
    "silence-resolved": replace(
        SILENCE,
        seq=140,
        state="resolved",
        at="2026-11-24T22:55:00Z",
        value=0,
        threshold=0,
        drivers=(),
        contributors=(),
        summary="Tenant acme makes calls again after 55 min (rule silence.tenant).",
    ),
}


def alert(seq: int, **changes: Any) -> Alert:
    """The cache incident at another point of the log."""
    return replace(CACHE, seq=seq, **changes)


LONG = "&<>" * 400
"""What a hostile or broken producer puts into a name."""


def overlong() -> Alert:
    """Every text too long, every list too long."""
    return replace(
        CACHE,
        rule=LONG,
        scope=dict.fromkeys(
            ("tenant", "feature", "model", "prompt_template", "user", "run_id", "team"), LONG
        ),
        summary="😀" * 5000,
        excess_usd="9" * 60,
        drivers=tuple(DriverUsd(driver=LONG, usd="1.5") for _ in range(40)),
        contributors=tuple(ContributorUsd(axis="user", value=LONG, usd="1", share=0.1) for _ in range(200)),
        examples=tuple(LONG for _ in range(500)),
        runbook="https://runbooks.example.com/" + "a" * 5000,
    )
