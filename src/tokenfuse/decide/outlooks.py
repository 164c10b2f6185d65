"""Outlooks: what a budget's month will come to, from the whole days (UTC) that its scope's table holds."""

from __future__ import annotations

import numpy as np

from tokenfuse.contracts.signal import Outlook
from tokenfuse.decide.evidence import COST
from tokenfuse.detect.forecast import DAY_S, DAYS, days_left, forecast
from tokenfuse.windows.calendar import period_end_s, period_starts
from tokenfuse.windows.table import AxisTable


def outlook(table: AxisTable, scope: int, window: str, latest_s: int) -> Outlook | None:
    """The end of the calendar period that contains latest_s; None: too few days are known, or it is no month."""
    days = min(DAYS, table.kind.panes.get("1d", 0))
    if window != "month" or not days:
        return None
    ids = np.array([scope], np.int32)
    today = latest_s // DAY_S
    zone = table.zones.of(scope)
    end_s = period_end_s(window, zone, int(period_starts(window, zone, np.array([latest_s]))[0]))
    daily = table.history("1d", [day * DAY_S for day in range(today - days, today)], ids, COST)
    whole_days = np.maximum(today - table.scopes.first_s[ids] // DAY_S - 1, 0)  # the first one is not whole
    found = forecast(
        table.period_sums(window, latest_s, ids, COST), daily, today - days, whole_days, days_left(latest_s, end_s)
    )  # fmt: skip
    if not found.known[0]:
        return None
    nanousd, low, high = (int(part[0]) for part in (found.nanousd, found.low_nanousd, found.high_nanousd))
    return Outlook(nanousd, low, high, end_s * 1000)
