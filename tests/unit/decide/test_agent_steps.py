"""Long blocks are judged as short ones, rollups leave in parts, and history is not told by the minute."""

from __future__ import annotations

from collections import defaultdict

import pytest
from msgspec.structs import replace
from tests.support.calls import T0_MS, BlockMaker, call

from tokenfuse.contracts.block import FORMAT, Control
from tokenfuse.contracts.ruleset import CapRule, RuleSet, encode_ruleset
from tokenfuse.contracts.signal import Verdict
from tokenfuse.decide import agent
from tokenfuse.decide.agent import AgentConfig, AgentCore
from tokenfuse.decide.pieces import PIECE_BYTES_MAX, Pieces

CAP = CapRule(
    id="cap", kind="cap", driver="volume", maturity="stable", axis="tenant", severity="page", mode="warn",
    window="5m", limit_nanousd=25_000_000,
)  # fmt: skip


def verdicts(blocks: int) -> list[tuple[str, int, int]]:
    """What is found of an hour of calls, a burst of which breaches, cut into so many blocks."""
    core, maker = AgentCore(AgentConfig(), 0), BlockMaker()
    core.apply(0, Control(FORMAT, "rules", 1, encode_ruleset(RuleSet(id="r", rules=(CAP,)))))
    calls = [call(n, n * 20) for n in range(180)] + [call(1000 + n, 1800 + n) for n in range(30)]
    calls.sort(key=lambda each: each.time_ms)
    size, out = -(-len(calls) // blocks), []
    for offset, first in enumerate(range(0, len(calls), size), 1):
        out += core.apply(offset, maker.blocks(calls[first : first + size])[0]).signals
    found = [v for v in out if isinstance(v, Verdict)]
    return [(v.state, v.starts_ms, v.at_ms) for v in found if v.state != "update"]


def test_one_block_of_an_hour_is_judged_as_many_short_ones() -> None:
    assert [state for state, _, _ in verdicts(210)] == ["breach", "clear"]
    assert verdicts(1)[0] == verdicts(210)[0]
    assert [v[:2] for v in verdicts(1)] == [v[:2] for v in verdicts(7)] == [v[:2] for v in verdicts(210)]


def test_a_breach_is_dated_by_the_pane_of_its_calls_where_others_calls_in_the_slice_are_newer() -> None:
    core, maker = AgentCore(AgentConfig(), 0), BlockMaker()
    core.apply(0, Control(FORMAT, "rules", 1, encode_ruleset(RuleSet(id="r", rules=(CAP,)))))
    block = maker.blocks([call(n, 5) for n in range(30)])[0]
    newer = replace(block, event_ms=block.event_ms + 10_000)
    breach = next(v for v in core.apply(1, newer).signals if isinstance(v, Verdict))
    assert (breach.starts_ms, breach.at_ms) == (T0_MS, T0_MS)


def test_a_breach_of_a_source_that_lags_is_dated_by_its_own_calls() -> None:
    core = AgentCore(AgentConfig(), 0)
    core.apply(0, Control(FORMAT, "rules", 1, encode_ruleset(RuleSet(id="r", rules=(CAP,)))))
    core.apply(1, BlockMaker(source=1).blocks([call(100, 55, tenant="other")])[0])
    late = BlockMaker().blocks([call(n, 5) for n in range(30)], record_ms=T0_MS + 55_000)[0]
    breach = next(v for v in core.apply(2, late).signals if isinstance(v, Verdict))
    assert (breach.starts_ms, breach.at_ms) == (T0_MS, T0_MS + 50_000)


def test_rollups_leave_in_parts_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "FLUSH_ROLLUPS_MAX", 20)
    core, maker, latest = AgentCore(AgentConfig(rollup_ms=10_000), 0), BlockMaker(), {}
    blocks = [maker.blocks([call(n, 0, tenant=f"t{n}", user=f"u{n}") for n in range(20)])[0]]
    blocks += [maker.tick(n) for n in range(60)]
    sizes = []
    for offset, block in enumerate(blocks):
        rollups = core.apply(offset, block).rollups
        sizes.append(len(rollups))
        latest |= {(r.axis, r.value, r.granularity): r.sums[0] for r in rollups}
    assert max(sizes) == 20
    assert sum(size > 0 for size in sizes) > 5
    totals: dict[str, int] = defaultdict(int)
    for (axis, _, granularity), calls in latest.items():
        if granularity == "total":
            totals[axis] += calls
    assert totals["tenant"] == totals["user"] == totals["global"] == 20


def test_history_is_not_told_by_the_minute_and_still_adds_up() -> None:
    core, maker, told = AgentCore(AgentConfig(rollup_ms=0), 0), BlockMaker(), {}
    blocks = [maker.blocks([call(n, n * 30)], history=True)[0] for n in range(40)]
    blocks += [maker.blocks([call(100 + n, 1200 + n * 30)])[0] for n in range(10)]
    for offset, block in enumerate(blocks):
        for r in core.apply(offset, block).rollups:
            if r.axis == "tenant":
                told[r.granularity, r.pane_start_s] = r.sums[0]
    minutes = [calls for (granularity, _), calls in told.items() if granularity == "1m"]
    late = [calls for (granularity, _), calls in told.items() if granularity == "late_1m"]
    assert (sum(minutes), sum(late)) == (10, 40)
    assert sum(calls for (granularity, _), calls in told.items() if granularity == "1h") == 50


def test_a_part_that_outgrows_a_message_comes_back_from_its_pieces() -> None:
    pieces, data = Pieces(), bytes(range(256)) * 5000
    pieces.cut("part", data)
    rows = {name: pieces.take(name) for name in list(pieces.dirty)}
    assert len(rows) == 3
    assert max(map(len, rows.values())) <= PIECE_BYTES_MAX
    assert Pieces().restore("part", rows) == data
    pieces.cut("part", b"small")
    assert (list(pieces.dirty), pieces.take_dropped()) == (["part.0"], ["part.1", "part.2"])
