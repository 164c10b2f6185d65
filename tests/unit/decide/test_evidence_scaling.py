"""Evidence stays right for those who spend most."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from tests.support.calls import BlockMaker, call

from tokenfuse.decide.cells import CellIndex
from tokenfuse.decide.evidence import Witness
from tokenfuse.windows.state import WindowState

USD = 10**9


def test_contributors_of_a_tenant_that_spends_millions_do_not_overflow() -> None:
    """A week's window against a week of $700,000: the product of money and seconds is beyond int64."""
    state = WindowState(0, (), 100)
    maker = BlockMaker()
    for day in range(7):
        calls = [call(day, day * 86_400, feature="steady", cost_nanousd=100_000 * USD)]
        state.apply(maker.blocks(calls)[0].rows)
    state.apply(
        maker.blocks(
            [
                call(100, 8 * 86_400, feature="steady", cost_nanousd=3_000_000 * USD),
                call(101, 8 * 86_400, feature="new", cost_nanousd=500_000 * USD),
            ]
        )[0].rows
    )
    table = state.tables["tenant"]
    start = int(table.scopes.first_s[0]) // 3600 * 3600 + 8 * 86_400
    found = Witness(state, CellIndex(state)).of_window(
        "tenant", "acme", "1h", start, start + 7 * 86_400, "volume"
    )
    assert sum(part.nanousd for part in found.drivers) == found_change(state, start)
    assert found.cost_change is not None
    assert found.cost_change.spent_nanousd - found.cost_change.usual_nanousd == found_change(state, start)
    assert (found.cost_change.starts_ms, found.cost_change.ends_ms) == (
        start * 1000,
        (start + 7 * 86_400) * 1000,
    )
    by_feature = {c.value: c.nanousd for c in found.contributors if c.axis == "feature"}
    assert by_feature["new"] == 500_000 * USD
    assert abs(by_feature.get("steady", 0)) < 10**7 * USD


def found_change(state: WindowState, start_s: int) -> int:
    """Cost in the window minus the week's before it, brought to seven days, computed with whole numbers."""
    table, ids = state.tables["tenant"], np.array([0], np.int32)
    now = int(table.sums("1h", start_s, start_s + 7 * 86_400, ids)[0, 1])
    since = max(start_s - 7 * 86_400, int(table.scopes.first_s[0]) // 3600 * 3600)
    until = start_s - start_s % 3600
    past = int(table.sums("1h", since, until, ids)[0, 1])
    return now - round(past * Fraction(7 * 86_400, until - since))


def test_a_scope_without_cells_names_where_its_dearest_call_worked() -> None:
    state = WindowState(0, (), 100)
    maker = BlockMaker()
    state.apply(maker.blocks([call(1, 0, cost_nanousd=5), call(2, 0, model="o3", cost_nanousd=50)])[0].rows)
    found = Witness(state, CellIndex(state)).of_window("user", "ann", "1h", 0, 2**40, "volume")
    assert found.examples == ("call-2",)
    assert {(c.axis, c.value) for c in found.contributors} >= {("model", "o3"), ("tenant", "acme")}
    assert (
        Witness(state, CellIndex(state)).of_window("user", "nobody", "1h", 0, 2**40, "volume").examples == ()
    )


def test_spend_per_hour_of_a_scope_is_that_of_its_last_ten_minutes_or_of_its_short_life() -> None:
    state = WindowState(0, (), 100)
    maker = BlockMaker()
    for minute in range(30):
        state.apply(maker.blocks([call(minute, minute * 60, cost_nanousd=60)])[0].rows)
    witness = Witness(state, CellIndex(state))
    first = int(state.tables["tenant"].scopes.first_s[0])
    assert 3000 <= witness.nanousd_per_hour("tenant", "acme", first + 29 * 60 + 59) <= 3700
    assert witness.nanousd_per_hour("tenant", "nobody", first) == 0
