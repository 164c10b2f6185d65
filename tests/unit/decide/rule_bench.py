"""A core under rules, told what happens second by second: for the tests of the judges."""

from __future__ import annotations

from typing import Any

from tests.support.calls import BlockMaker, call

from tokenfuse.contracts.block import FORMAT, Control
from tokenfuse.contracts.ruleset import AnyRule, RuleSet, encode_ruleset
from tokenfuse.contracts.signal import Verdict
from tokenfuse.decide.agent import AgentConfig, AgentCore
from tokenfuse.ingest.call import Call

COMMON: dict[str, Any] = {"maturity": "stable", "severity": "page", "mode": "warn"}


class Bench:
    """One deltas partition. Times are seconds after T0."""

    def __init__(self, *rules: AnyRule, **changes: Any) -> None:
        self.core = AgentCore(AgentConfig(), 0)
        self.maker = BlockMaker()
        self._offset = 0
        self._number = 0
        self._rows: dict[str, bytes] = {}
        self.install(*rules, **changes)

    def apply(self, block: Any) -> list[Verdict]:
        self._offset += 1
        return [v for v in self.core.apply(self._offset, block).signals if isinstance(v, Verdict)]

    def install(self, *rules: AnyRule, **changes: Any) -> list[Verdict]:
        ruleset = RuleSet(id=f"r{self._offset}", rules=rules, **changes)
        return self.apply(Control(FORMAT, "rules", self._offset, encode_ruleset(ruleset)))

    def at(self, at_s: float, count: int = 1, **changes: Any) -> list[Verdict]:
        """So many equal calls in one block."""
        return self.block(*(self.call(at_s, **changes) for _ in range(count)))

    def call(self, at_s: float, **changes: Any) -> Call:
        self._number += 1
        return call(self._number, at_s, **changes)

    def block(self, *calls: Call, history: bool = False) -> list[Verdict]:
        return self.apply(self.maker.blocks(list(calls), history=history)[0])

    def wait(self, start_s: float, end_s: float, step_s: float = 10) -> list[Verdict]:
        """Ticks only."""
        found, at_s = [], start_s
        while at_s < end_s:
            found += self.apply(self.maker.tick(at_s))
            at_s += step_s
        return found

    def restart(self) -> None:
        """From a checkpoint of everything."""
        for name in self.core.dropped_rows():
            self._rows.pop(name, None)
        self._rows |= {name: self.core.snapshot(name) for name in self.core.dirty_rows()}
        self.core = AgentCore.restore(AgentConfig(), 0, self.core.head(), self._rows)


def told(verdicts: list[Verdict]) -> list[str]:
    """`state scope` of each verdict."""
    return [f"{v.state} {v.scope}" for v in verdicts]
