"""Ids of new scopes: many of one block at once, and the same ones as one after the other."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st
from tests.unit.windows.window_rows import T0_S, rows

from tokenfuse.windows.pending import Merged
from tokenfuse.windows.scopes import Scopes


class OneByOne(Scopes):
    """Creates as a block of each value alone would."""

    def _create_all(self, values, first_s):
        return [self._create(value, first) for value, first in zip(values, first_s.tolist(), strict=True)]


blocks = st.lists(
    st.tuples(st.frozensets(st.integers(0, 40), min_size=1, max_size=30), st.booleans()),
    min_size=1,
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(blocks, st.sampled_from([5, 30, 1000]))
def test_new_scopes_of_a_block_have_the_ids_that_they_would_have_one_by_one(blocks, scopes_max) -> None:
    at_once, one_by_one = Scopes("~other", scopes_max), OneByOne("~other", scopes_max)
    for minute, (names, evict) in enumerate(blocks):
        now_s = T0_S + 60 * minute
        block = rows(*((f"v{name:02d}", now_s + name % 3 * 10, 1) for name in names))
        ids = [scopes.ids_for(block)[block.scope] for scopes in (at_once, one_by_one)]
        assert ids[0].tolist() == ids[1].tolist()
        for scopes, of_row in zip((at_once, one_by_one), ids, strict=True):
            scopes.add(
                Merged(
                    of_row,
                    block.pane_s,
                    block.sums,
                    block.maxima,
                    block.dearest_nanousd,
                    [(of_row, block)],
                    [0],
                )
            )
            if evict:
                scopes.evict_idle(now_s)

    assert state(at_once) == state(one_by_one)


def state(scopes: Scopes) -> list:
    size = len(scopes.values)
    arrays = (scopes.first_s, scopes.last_s, scopes.born, scopes.maxima)
    return [
        scopes.values, scopes.cells, scopes.examples, scopes.created, scopes.version, scopes.folded, scopes.live().tolist(),
        [array[:size].tolist() for array in arrays], scopes.totals.all().tolist(),
    ]  # fmt: skip
