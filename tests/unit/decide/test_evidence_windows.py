"""What evidence compares: which window, against which past, for scopes with cells and for those without."""

from __future__ import annotations

from typing import Any

from tests.support.calls import T0_MS, BlockMaker, call

from tokenfuse.contracts.signal import CostChange
from tokenfuse.decide.cells import CellIndex
from tokenfuse.decide.evidence import Evidence, Witness
from tokenfuse.windows.state import WindowState

HOUR_S, DAY_S = 3600, 86_400
START_S = T0_MS // 1000 // DAY_S * DAY_S + DAY_S
"""A midnight, UTC."""
USD = 10**9


def seen(hours: int, last: dict[str, Any], **usual: Any) -> Witness:
    """A call an hour from midnight on, the last one different; of user ann of tenant acme."""
    state, maker = WindowState(0, (), 100), BlockMaker()
    for hour in range(hours):
        changes = usual | (last if hour == hours - 1 else {})
        made = call(hour, START_S - T0_MS // 1000 + hour * HOUR_S, **({"cost_nanousd": USD} | changes))
        state.apply(maker.blocks([made])[0].rows)
    return Witness(state, CellIndex(state))


def parts(found: Evidence) -> dict[str, int]:
    assert found.cost_change is not None
    change = found.cost_change
    assert sum(part.nanousd for part in found.drivers) == change.spent_nanousd - change.usual_nanousd
    return {part.driver: part.nanousd for part in found.drivers if part.nanousd}


def ms(hour: int) -> int:
    return (START_S + hour * HOUR_S) * 1000


def test_a_month_is_explained_by_its_last_week_against_the_week_before() -> None:
    """The week before the month is not kept any more when the month ends: against nothing all would be volume."""
    hours = 27 * 24
    witness, end_s = seen(hours, {}), START_S + hours * HOUR_S
    found = witness.of_window("tenant", "acme", "1h", START_S, end_s, "volume")

    assert parts(found) == {}
    assert found.cost_change == CostChange(ms(hours - 168), ms(hours), 168 * USD, 168 * USD)


def test_spend_that_is_usual_and_over_a_limit_names_who_spends_it() -> None:
    witness = seen(48, {})
    found = witness.of_window("tenant", "acme", "1h", START_S + 24 * HOUR_S, START_S + DAY_S * 2, "volume")

    assert parts(found) == {}
    assert ("feature", "chat", 24 * USD) in [(c.axis, c.value, c.nanousd) for c in found.contributors]


def test_a_user_is_compared_with_the_whole_days_before() -> None:
    longer = {"input_tokens": 10_500, "cost_nanousd": 7 * USD + 333_333_333}
    witness = seen(3 * 24 + 1, longer)
    found = witness.of_window(
        "user", "ann", "1m", START_S + 3 * DAY_S, START_S + 3 * DAY_S + HOUR_S, "volume"
    )

    assert found.cost_change == CostChange(ms(72), ms(73), longer["cost_nanousd"], USD)
    assert found.driver == "prompt"
    assert parts(found)["prompt"] > 6 * USD


def test_a_dearer_model_of_a_user_is_no_price_that_anybody_raised() -> None:
    witness = seen(3 * 24 + 1, {"model": "o3", "cost_nanousd": 5 * USD})
    found = witness.of_window(
        "user", "ann", "1m", START_S + 3 * DAY_S, START_S + 3 * DAY_S + HOUR_S, "volume"
    )

    assert (found.driver, parts(found)) == ("cost", {"cost": 4 * USD})


def test_a_user_of_hours_is_compared_with_them_and_a_new_one_with_nothing() -> None:
    witness = seen(5, {"cost_nanousd": 3 * USD})
    young = witness.of_window("user", "ann", "1m", START_S + 4 * HOUR_S, START_S + 5 * HOUR_S, "volume")
    new = witness.of_window("user", "ann", "1m", START_S, START_S + HOUR_S, "volume")

    assert young.cost_change == CostChange(ms(4), ms(5), 3 * USD, USD)
    assert new.cost_change is not None
    assert (new.cost_change.usual_nanousd, new.driver) == (0, "volume")


def test_days_of_a_user_are_read_where_its_hours_are_gone() -> None:
    """Hours of users are kept for a day: the week is whole days, and today."""
    witness, hours = seen(10 * 24, {}), 10 * 24
    found = witness.of_window("user", "ann", "1h", START_S, START_S + hours * HOUR_S, "volume")

    assert found.cost_change == CostChange(ms(3 * 24), ms(hours), 168 * USD, 168 * USD)


def test_what_a_run_cost_beyond_its_limit_is_one_part() -> None:
    witness = seen(5, {}, run_id="run-1")
    found = witness.of_run("run-1", START_S + 5 * HOUR_S, 2 * USD, "loop")

    assert parts(found) == {"loop": 2 * USD}
    assert found.cost_change == CostChange(ms(0), ms(5), 5 * USD, 3 * USD)


def test_a_run_under_a_dollar_cap_has_no_past_and_is_all_volume() -> None:
    witness = seen(5, {}, run_id="run-1")
    found = witness.of_window("run_id", "run-1", "1h", START_S, START_S + 5 * HOUR_S, "volume")

    assert parts(found) == {"volume": 5 * USD}
    assert found.cost_change == CostChange(ms(0), ms(5), 5 * USD, 0)
