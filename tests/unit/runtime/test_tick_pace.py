"""How often ingest tells the time."""

from __future__ import annotations

from tokenfuse.runtime.ingest.tick_pace import CALM_AFTER_SECONDS, CALM_TICK_SECONDS, TICK_SECONDS, TickPace
from tokenfuse.windows.clocks import IDLE_MS, LATENESS_MS, STEP_MS


def ticks(pace: TickPace, start: float, end: float) -> list[float]:
    """When it ticks, asked four times a second."""
    return [at / 4 for at in range(int(start * 4), int(end * 4)) if pace.due(at / 4)]


def test_every_second_until_the_last_slice_is_long_past_then_less_often() -> None:
    pace = TickPace(0)
    busy = ticks(pace, 0, CALM_AFTER_SECONDS)
    calm = ticks(pace, CALM_AFTER_SECONDS, CALM_AFTER_SECONDS + 60)

    assert len(busy) == CALM_AFTER_SECONDS / TICK_SECONDS - 1
    assert 60 / CALM_TICK_SECONDS <= len(calm) <= 60 / CALM_TICK_SECONDS + 1


def test_a_slice_brings_back_the_tick_of_every_second() -> None:
    pace = TickPace(0)
    ticks(pace, 0, CALM_AFTER_SECONDS + 61)
    pace.slice_sent(CALM_AFTER_SECONDS + 61)

    again = ticks(pace, CALM_AFTER_SECONDS + 61, CALM_AFTER_SECONDS + 71)
    assert len(again) >= 10 / TICK_SECONDS - 1


def test_calm_begins_when_panes_are_closed_and_its_ticks_pass_for_no_outage() -> None:
    """Else a pane would close late, or time between two ticks would not count as idle time."""
    assert CALM_AFTER_SECONDS * 1000 > IDLE_MS + LATENESS_MS
    assert CALM_TICK_SECONDS * 1000 < STEP_MS
