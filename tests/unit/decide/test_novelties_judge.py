"""Novelties: told once when a new scope has spent enough, over a day later, and never again."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings, strategies as st
from tests.unit.decide.rule_bench import COMMON, Bench, told

from tokenfuse.contracts.ruleset import NoveltyRule
from tokenfuse.contracts.signal import Verdict

HOUR_S = 3600
LEARNED_S = 80 * HOUR_S


def new_model(**changes: Any) -> NoveltyRule:
    fields: dict[str, Any] = {
        "id": "new", "kind": "novelty", "driver": "volume", "axis": "model", "window_seconds": 24 * HOUR_S,
        "floor_nanousd": 5_000_000, "baseline_hours_min": 72,
    }  # fmt: skip
    return NoveltyRule(**(COMMON | fields | changes))


def learned(*rules: NoveltyRule) -> Bench:
    """One model from the beginning on; a call costs a million nano-dollars."""
    bench = Bench(*rules)
    for hour in range(0, 81, 10):
        assert bench.at(hour * HOUR_S) == []
    return bench


def changes(verdicts: list[Verdict]) -> list[str]:
    return [each for each in told(verdicts) if not each.startswith("update")]


def test_a_new_model_is_told_within_two_minutes_with_what_it_spent_and_who() -> None:
    bench = learned(new_model())
    bench.at(LEARNED_S + 100, 4, model="gpt-9")
    assert bench.wait(LEARNED_S + 100, LEARNED_S + 400) == []
    bench.at(LEARNED_S + 400, 2, model="gpt-9")
    found = bench.wait(LEARNED_S + 410, LEARNED_S + 530)

    assert changes(found) == ["breach model=gpt-9"]
    breach = found[0]
    assert (breach.value, breach.threshold, breach.excess_nanousd) == (6_000_000.0, 5_000_000.0, 6_000_000)
    assert breach.cost_change is not None
    assert (breach.cost_change.spent_nanousd, breach.cost_change.usual_nanousd) == (6_000_000, 0)
    assert sum(part.nanousd for part in breach.drivers) == 6_000_000
    assert (breach.driver, breach.excess_nanousd_per_hour > 0) == ("volume", True)
    assert ("tenant", "acme", 1.0) in [(c.axis, c.value, c.share) for c in breach.contributors]


def test_it_is_over_after_a_day_and_never_told_again() -> None:
    bench = learned(new_model())
    bench.at(LEARNED_S + 100, 9, model="gpt-9")
    found = bench.wait(LEARNED_S + 100, LEARNED_S + 30 * HOUR_S, 300)
    bench.at(LEARNED_S + 30 * HOUR_S, 99, model="gpt-9")
    found += bench.wait(LEARNED_S + 30 * HOUR_S, LEARNED_S + 60 * HOUR_S, 300)

    assert changes(found) == ["breach model=gpt-9", "clear model=gpt-9"]
    assert 0 <= found[-1].at_ms - found[0].starts_ms - 24 * HOUR_S * 1000 <= 400_000


def test_what_comes_while_all_is_learned_is_not_new_later_either() -> None:
    bench = Bench(new_model())
    bench.at(0)
    bench.at(60 * HOUR_S, 99, model="early")

    assert bench.wait(60 * HOUR_S, 80 * HOUR_S, 300) == []


def test_the_first_model_that_a_partition_ever_sees_is_new_if_it_has_been_watching_for_long() -> None:
    """Its scopes may all be of others' partitions: the log's age counts, not the scopes'."""
    bench = Bench(new_model())
    bench.at(0, model=None)
    bench.wait(10, LEARNED_S, 1800)
    bench.at(LEARNED_S, 9, model="gpt-9")

    assert changes(bench.wait(LEARNED_S, LEARNED_S + 300)) == ["breach model=gpt-9"]


def test_the_pattern_leaves_models_out_and_a_narrower_one_ends_what_stands() -> None:
    bench = learned(new_model(match="gpt-*"))
    bench.at(LEARNED_S + 100, 9, model="gpt-9")
    bench.at(LEARNED_S + 100, 9, model="claude-9")
    assert changes(bench.wait(LEARNED_S + 100, LEARNED_S + 300)) == ["breach model=gpt-9"]
    bench.install(new_model(match="x*"))

    assert changes(bench.wait(LEARNED_S + 300, LEARNED_S + 500)) == ["clear model=gpt-9"]


def test_a_new_model_of_history_teaches_and_is_told_by_no_one() -> None:
    bench = Bench(new_model())
    for hour in range(0, 81, 10):
        bench.block(bench.call(hour * HOUR_S), history=True)
    history = [bench.call(LEARNED_S + 100, model="gpt-9") for _ in range(9)]
    assert bench.block(*history, history=True) == []
    bench.at(LEARNED_S + 72 * HOUR_S)

    assert bench.wait(LEARNED_S + 72 * HOUR_S, LEARNED_S + 73 * HOUR_S) == []


def test_a_novelty_survives_a_restart_and_is_told_once() -> None:
    bench = learned(new_model())
    bench.restart()
    bench.at(LEARNED_S + 100, 9, model="gpt-9")
    assert changes(bench.wait(LEARNED_S + 100, LEARNED_S + 300)) == ["breach model=gpt-9"]
    bench.restart()
    later = bench.wait(LEARNED_S + 300, LEARNED_S + 3000)

    assert {v.state for v in later} == {"update"}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 59), min_size=5, max_size=12), st.integers(1, 12))
def test_how_calls_were_cut_into_blocks_changes_no_verdict(moments: list[int], size: int) -> None:
    """A block holds whole panes: calls of ten seconds each."""
    times = sorted(LEARNED_S + 10 * n for n in moments)
    said = []
    for many in (1, size):
        bench = learned(new_model())
        found: list[Verdict] = []
        panes = sorted(set(times))
        for first in range(0, len(panes), many):
            calls = [bench.call(at, model="gpt-9") for at in times if at in panes[first : first + many]]
            found += bench.block(*calls)
        found += bench.wait(max(times), LEARNED_S + 900)
        said.append([(v.state, v.at_ms, v.value, v.excess_nanousd) for v in found if v.state != "update"])

    assert said[0] == said[1]
