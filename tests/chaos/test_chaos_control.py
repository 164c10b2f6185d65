"""The control: a broken build must be found. A harness that finds nothing there finds nothing anywhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.chaos.audit import Findings
from tests.chaos.faults import Fault
from tests.chaos.run import Options, Run

if TYPE_CHECKING:
    from pathlib import Path

KILLS_BEHIND_THE_COMMIT = [
    Fault(at, "kill", name, "rows") for at in (5.0, 10.0) for name in ("agents-a", "agents-b")
]


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("broken", "minutes", "faults"),
    [("dedup", 0.15, []), ("ack-before-changelog", 0.3, KILLS_BEHIND_THE_COMMIT)],
)
def test_a_broken_build_has_wrong_scopes(
    kafka_installed: None, tmp_path: Path, broken: str, minutes: float, faults: list[Fault]
) -> None:
    options = Options(seed=5, minutes=minutes, faults=faults, broken=broken, settled_seconds=20, again=False)

    result = asyncio.run(Run(options, tmp_path / "run").run())

    assert Findings(**result.live).wrong_scopes > 0
