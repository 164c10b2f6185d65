"""Every alert says what its drivers add up to: the identity through the whole pure pipeline, for every kind of rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st
from tests.support.calls import call
from tests.support.evidence import check_evidence

from tokenfuse.contracts.ruleset import (
    AgentRule,
    AnyRule,
    BurnRateRule,
    BurstRule,
    CapRule,
    DriftRule,
    PriceRule,
    PromptBudgetRule,
    RuleSet,
    SpikeRule,
    VolumeRule,
)
from tokenfuse.ingest.call import Call
from tokenfuse.runtime.pipeline import run_events

HOUR_S = 3600
COMMON: dict[str, Any] = {"driver": "volume", "maturity": "stable", "severity": "page", "mode": "warn"}
LEARNED: dict[str, Any] = {
    "baseline_hours": 336, "baseline_hours_min": 1, "calls_min": 1, "floor_nanousd_per_day": 0,
    "evaluation_interval_seconds": 60,
}  # fmt: skip


def rules() -> Iterable[AnyRule]:
    """Every kind on every sort of axis, with thresholds that next to nothing stays below."""
    for axis in ("global", "tenant", "feature", "model", "user", "run_id"):
        for window in ("1h", "24h") if axis == "run_id" else ("1h", "24h", "day", "month"):
            yield CapRule(
                id=f"cap-{axis}-{window}", kind="cap", axis=axis, window=window, limit_nanousd=1, **COMMON
            )
    for axis in ("tenant", "user"):
        yield BurstRule(
            id=f"burst-{axis}", kind="burst", axis=axis, windows_seconds=(60, 300), factor=1.0, surprise_min=0.0,
            times_record=0.1, calls_min=1, floor_nanousd_per_hour=0, **COMMON,
        )  # fmt: skip
        yield BurnRateRule(
            id=f"burn-{axis}", kind="burn_rate", axis=axis, window="month", budget_nanousd=1, factor=1.0,
            long_seconds=HOUR_S, short_seconds=300, **COMMON,
        )  # fmt: skip
    for pane in ("1h", "1d"):
        yield SpikeRule(
            id=f"spike-{pane}", kind="spike", axis="feature", pane=pane, factor=0.1, history_panes=24,
            history_panes_min=1, floor_nanousd=1, **COMMON,
        )  # fmt: skip
    for axis in ("model", "tenant+feature"):
        yield VolumeRule(
            id=f"volume-{axis}", kind="drift", axis=axis, windows_seconds=(300, HOUR_S, 3 * HOUR_S), ratio_min=0.1,
            record_factor=0.0, **LEARNED, **COMMON,
        )  # fmt: skip
        for signal in ("prompt", "cache"):
            yield DriftRule(
                id=f"{signal}-{axis}", kind="drift", axis=axis, signal=signal, windows_seconds=(300, 6 * HOUR_S),
                z_min=0.01, effect_min=0.0, **LEARNED, **(COMMON | {"driver": signal}),
            )  # fmt: skip
    yield PriceRule(
        id="price", kind="price", axis="model", measure="off_book", share_max=0.001, window_seconds=HOUR_S, calls_min=1,
        floor_nanousd=0, **(COMMON | {"driver": "price"}),
    )  # fmt: skip
    yield PromptBudgetRule(
        id="prompt-budget", kind="prompt_budget", axis="feature", limit=1, window_seconds=HOUR_S, calls_min=1,
        floor_nanousd=0, **(COMMON | {"driver": "prompt"}),
    )  # fmt: skip
    for axis, window_seconds in (("run_id", 0), ("user", HOUR_S), ("feature", 60)):
        yield AgentRule(
            id=f"agent-{axis}", kind="agent", axis=axis, measure="tokens", limit=1, window_seconds=window_seconds,
            **(COMMON | {"driver": "loop"}),
        )  # fmt: skip


RULES = RuleSet(id="low", rules=tuple(rules()))

NANOUSD = st.integers(1, 10**10)
CALLS = st.builds(
    lambda number, at_s, cost, **changes: call(number, at_s, cost_nanousd=cost, **changes),
    number=st.uuids(),
    # Some hours before the others, so that there is a past.
    at_s=st.one_of(st.integers(0, 600), st.integers(2 * HOUR_S, 2 * HOUR_S + 600)),
    cost=NANOUSD,
    tenant=st.sampled_from(["acme", "globex"]),
    feature=st.sampled_from(["chat", "search"]),
    model=st.sampled_from(["gpt-4o", "o3"]),
    user=st.sampled_from([None, "ann", "ben"]),
    run_id=st.sampled_from([None, "run-1", "run-2"]),
    input_tokens=st.integers(0, 10**6),
    output_tokens=st.integers(0, 10**5),
    retry=st.booleans(),
    off_book_nanousd=st.integers(0, 1),
)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(CALLS, min_size=1, max_size=25))
def test_the_drivers_of_every_alert_add_up_and_what_was_spent_is_the_sum_of_the_calls(
    calls: list[Call],
) -> None:
    calls = sorted(calls, key=lambda one: one.time_ms)
    for alert in run_events(calls, RULES):
        check_evidence(alert, calls)


def test_every_kind_of_rule_says_what_its_drivers_add_up_to() -> None:
    """The same on traffic under which every one of the rules fires: without it the property might speak of nothing."""
    calls = [one for hour in (0, 1, 25) for one in busy(hour)]
    alerts = run_events(calls, RULES)
    for alert in alerts:
        check_evidence(alert, calls)
    fired = Counter(alert.rule for alert in alerts if alert.state == "firing")
    assert {rule.id for rule in RULES.rules} - set(fired) == set()


def busy(hour: int) -> list[Call]:
    """Ten minutes of calls; in the last hour more, longer and dearer ones."""
    late = hour == 25
    return [
        call(
            1000 * hour + number, hour * HOUR_S + number * (5 if late else 60), tenant=("acme", "globex")[number % 2],
            model=("gpt-4o", "o3")[number % 2], user=("ann", "ben")[number % 2], run_id=f"run-{hour}",
            cost_nanousd=1_000_003 * (1 + number % 3 + 5 * late), input_tokens=1000 * (1 + 30 * late),
            output_tokens=100 * (1 + 30 * late), retry=late and number % 2 == 0, off_book_nanousd=10_000,
            cache_read_tokens=0 if late else 500,
        )
        for number in range(120 if late else 10)
    ]  # fmt: skip
