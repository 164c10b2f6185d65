"""The recipe's parts: evidence adds up over cells, one cell does not fire a feature, records leave incidents out."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.detection.evidence import DAY, LEAD, Evidence, before, rolled, with_lead, z_of
from benchmarks.detection.recipe import Records


def evidence(pull, spread, expected, skew=1e-2, calls=100.0):
    """One window and one pane; a value per cell each."""
    columns = (
        np.broadcast_to(np.asarray(c, float), (len(pull),)) for c in (pull, spread, expected, skew, calls)
    )
    return Evidence(*(column[None, :, None] for column in columns))


def z(members, found):
    value, effect, _ = z_of(np.array(members, float), found)
    return value[0, :, 0], effect[0, :, 0]


def test_without_rare_large_steps_the_score_is_the_plain_z():
    value, effect = z([[1]], evidence([10.0], [4.0], [20.0]))

    assert value[0] == pytest.approx(5.0, rel=5e-3)
    assert effect[0] == pytest.approx(0.5)


def test_a_rare_large_step_is_doubted():
    assert z([[1]], evidence([10.0], [4.0], [20.0], skew=8.0))[0][0] < 4


def test_less_than_usual_is_never_found():
    assert z([[1]], evidence([-10.0], [4.0], [20.0]))[0][0] == 0


def test_one_cell_alone_does_not_fire_a_scope_of_many():
    one = evidence([40.0, 0, 0, 0], 4.0, 20.0)
    all_four = evidence([6.0, 6.0, 6.0, 6.0], 4.0, 20.0)

    assert z([[1, 1, 1, 1]], one)[0][0] < 2
    assert z([[1, 1, 1, 1]], all_four)[0][0] == pytest.approx(6.0, rel=5e-3)


def test_windows_end_with_their_pane_and_the_hours_before_end_where_they_begin():
    calls = np.zeros((1, 3 * DAY))
    calls[0, 2 * DAY - 1] = 36.0
    lead = with_lead(calls, 2)

    assert lead.shape == (1, LEAD + DAY)
    assert rolled(lead, 1)[0, 0] == 0
    assert rolled(lead, 2)[0, 0] == 36
    assert before(lead, 1)[0, 0] == 1  # one of three hours' 36 panes
    assert before(lead, 2)[0, 0] == 0


def test_records_leave_out_up_to_three_days_that_fired_the_largest_first():
    records = Records()
    for value, fired in ((3.0, False), (9.0, True), (8.0, True), (7.0, True), (6.0, True)):
        records.days.append((np.array([value]), np.array([fired])))

    assert records.largest(3)[0] == 6.0
    assert records.largest(0)[0] == 9.0
