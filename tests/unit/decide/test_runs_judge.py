"""Runs against limits and records: at which block, what survives a restart, and when it is over."""

from __future__ import annotations

from typing import Any

from tests.unit.decide.rule_bench import COMMON, Bench, told

from tokenfuse.contracts.ruleset import AgentRule

DAY_S = 86_400


def agent(**changes: Any) -> AgentRule:
    fields: dict[str, Any] = {
        "id": "a",
        "kind": "agent",
        "driver": "loop",
        "axis": "run_id",
        "measure": "steps",
    }
    return AgentRule(**(COMMON | fields | changes))


def step(bench: Bench, at_s: float, number: int, run: str = "r", **changes: Any) -> list[str]:
    return told(bench.at(at_s, run_id=run, step=number, **changes))


def test_the_step_over_the_limit_is_told_with_what_the_run_cost_beyond_it() -> None:
    bench = Bench(agent(limit=3))
    assert [step(bench, n, n) for n in (1, 2, 3)] == [[], [], []]
    found = bench.at(4, run_id="r", step=4)
    assert [(v.state, v.value, v.threshold, v.driver, v.excess_nanousd) for v in found] == [
        ("breach", 4.0, 3.0, "loop", 1_000_000)
    ]


def test_a_run_that_stopped_is_over_after_ten_minutes() -> None:
    bench = Bench(agent(limit=1))
    assert step(bench, 0, 2) == ["breach run_id=r"]
    found = bench.wait(10, 700)
    assert [v.state for v in found][-1] == "clear"
    assert 590 <= found[-1].at_ms // 1000 - found[-1].starts_ms // 1000 <= 660


def test_yesterdays_runs_are_the_record_and_a_restart_remembers_them() -> None:
    bench = Bench(agent(times_record=1.5, record_days_min=1))
    assert step(bench, 0, 10) == []
    assert step(bench, 10, 100, run="same-day") == []
    bench.restart()
    assert step(bench, DAY_S, 150, run="next") == []
    bench.restart()
    assert step(bench, DAY_S + 10, 151, run="next") == ["breach run_id=next"]


def test_a_run_that_fires_does_not_become_the_record() -> None:
    bench = Bench(agent(times_record=1.5, record_days_min=1))
    step(bench, 0, 10)
    assert step(bench, DAY_S, 16, run="b") == ["breach run_id=b"]
    step(bench, DAY_S + 1, 500, run="b")
    assert step(bench, 2 * DAY_S, 25, run="c")[0] == "breach run_id=c"


def test_a_feature_that_has_odd_runs_on_a_fourth_day_has_a_new_record() -> None:
    bench = Bench(agent(times_record=1.5, record_days_min=1))
    step(bench, 0, 10)
    found = []
    for day in range(1, 7):
        step(bench, day * DAY_S, 10, run=f"usual-{day}")
        found.append(step(bench, day * DAY_S + 10, 20 + day, run=f"odd-{day}")[:1])
        bench.restart()
    assert found == [[f"breach run_id=odd-{day}"] for day in (1, 2, 3, 4)] + [[], []]
    # The fourth largest odd day, 21 steps, made runs of 25 and 26 steps ordinary.
    assert step(bench, 7 * DAY_S, 39, run="longest") == []
    assert step(bench, 7 * DAY_S, 40, run="more") == ["breach run_id=more"]


def test_history_teaches_and_raises_nothing() -> None:
    bench = Bench(agent(times_record=1.5, record_days_min=1))
    assert bench.block(bench.call(0, run_id="a", step=10), history=True) == []
    bench.wait(10, 200)
    assert step(bench, DAY_S, 14, run="b") == []
    assert step(bench, DAY_S + 1, 16, run="b") == ["breach run_id=b"]


def test_children_are_counted_at_the_parent_that_makes_no_call_itself() -> None:
    bench = Bench(agent(measure="children", limit=2))
    calls = [bench.call(n, run_id=f"c{n}", parent_run_id="p", step=1) for n in range(3)]
    assert told(bench.block(*calls[:2])) == []
    assert told(bench.block(*calls[2:])) == ["breach run_id=p"]


def test_runs_of_a_user_are_counted_in_a_window() -> None:
    bench = Bench(agent(axis="user", measure="runs", limit=2, window_seconds=3600))
    found = [step(bench, at, 1, run=f"r{at}") for at in (0, 10, 4000, 4010, 4020)]
    assert found == [[], [], [], [], ["breach user=ann"]]
