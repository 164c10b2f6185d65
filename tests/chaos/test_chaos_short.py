"""Two minutes of what `python -m tests.chaos` does at length: kills, zombies, a stall and a restart of the broker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.chaos.audit import Findings
from tests.chaos.faults import Numbers
from tests.chaos.run import Options, Run

if TYPE_CHECKING:
    from pathlib import Path

SEED = 11


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_sum_alert_or_switch_is_wrong_after_kills_zombies_and_a_broker_that_stalls_and_restarts(
    kafka_installed: None, tmp_path: Path
) -> None:
    numbers = Numbers(
        kills=8,
        zombies=2,
        broker_restarts=1,
        stalls=1,
        leaves=1,
        joins=1,
        doubled_deciders=1,
        losses=1,
        groups_down=0,
    )
    result = asyncio.run(Run(Options(SEED, minutes=0.75, numbers=numbers), tmp_path / "run").run())

    assert Findings(**result.live).faults == {}, result.live["examples"]
    assert Findings(**result.fresh).faults == {}, result.fresh["examples"]
    assert result.faults["kills"] >= 6
    assert result.faults["zombies"] >= 1
    assert (result.faults["broker restarts"], result.faults["broker stalls"]) == (1, 1)
    # It was a run worth auditing: money, alerts and switches were at stake, and messages were said twice and corrected.
    assert result.fresh["scopes"] > 500
    assert min(result.fresh["alerts"], result.fresh["switches"]) >= 3
    assert min(result.outcomes[name] for name in ("doubled", "corrected", "refused")) > 20
