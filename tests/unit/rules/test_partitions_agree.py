"""An installation of eight deltas partitions tells what one partition tells: no scope is judged twice, or by half of its cells."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import pytest
from msgspec.structs import replace
from tests.unit.rules.test_shipped_thresholds import RULES

from tokenfuse.contracts.axes import JOINT
from tokenfuse.contracts.block import FORMAT, DeltaBlock
from tokenfuse.contracts.ruleset import RuleSet
from tokenfuse.contracts.signal import Signal, Verdict, encode_signal
from tokenfuse.decide.agent import AgentConfig
from tokenfuse.ingest.aggregate import Aggregator
from tokenfuse.ingest.call import Call
from tokenfuse.rules.ruletest import read_tests
from tokenfuse.rules.traffic import expand
from tokenfuse.runtime.pipeline import TICK_MS, Pipeline

PARTITIONS = 8
HOUR_MS = 3_600_000


class Heard(Pipeline):
    """Keeps what agents say, whichever of them."""

    def __init__(self, partitions: int) -> None:
        super().__init__(AgentConfig(rollup_ms=HOUR_MS, totals_only=True), partitions)
        self.verdicts: list[bytes] = []

    def _signal(self, signal: Signal) -> None:
        if isinstance(signal, Verdict):
            self.verdicts.append(encode_signal(replace(signal, partition=0, offset=0, index=0)))
        super()._signal(signal)


def told(calls: Sequence[Call], ruleset: RuleSet, partitions: int) -> list[bytes]:
    pipeline = Heard(partitions)
    aggregator, end, newest_ms = Aggregator((), partitions), 0, calls[0].time_ms
    pipeline.install(ruleset, newest_ms)
    for _, pane in groupby(calls, lambda call: call.time_ms // TICK_MS):
        some = list(pane)
        position, end, newest_ms = end, end + len(some), some[-1].time_ms
        pipeline.blocks([
            DeltaBlock(FORMAT, 0, position, end, newest_ms, newest_ms, history=False, price_version="calls", rows=rows)
            for rows in aggregator.rows(some)
        ])  # fmt: skip
    for step in range(1, 60):
        pipeline.tick(0, end, newest_ms + step * TICK_MS)
    return sorted(pipeline.verdicts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "number", "tenants"),
    [("prices", 1, {"large", "small"}), ("drift", 0, {"prompt", "tier"})],
)
def test_eight_partitions_tell_of_joint_scopes_what_one_tells(
    file: str, number: int, tenants: set[str]
) -> None:
    loaded = read_tests(RULES, RULES / f"{file}_test.yaml")
    test = loaded.file.tests[number]
    calls = [c for c in expand(test.traffic, test.start, test.name, Call) if c.tenant in tenants]
    joint = replace(loaded.ruleset, rules=tuple(rule for rule in loaded.ruleset.rules if JOINT in rule.axis))
    one = told(calls, joint, 1)
    assert one
    assert told(calls, joint, PARTITIONS) == one
