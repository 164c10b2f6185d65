"""Verdicts that stand: what changed becomes a signal, once, and is told again once a minute while it lasts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from tokenfuse.contracts.ruleset import AnyRule
from tokenfuse.contracts.scope import axis_scope_key
from tokenfuse.contracts.signal import Contributor, DriverPart, Outlook, Verdict, VerdictState
from tokenfuse.decide.evidence import Evidence
from tokenfuse.windows.pane import Ids

NOTHING: Final = np.empty(0, np.int32)
UPDATE_MS: Final = 60_000
UPDATE_SHARE: Final = 10
"""A verdict that has stood for long is told again less often: after a tenth of the time that it has stood."""

STANDING_MAX: Final = 10_000
"""Verdicts that may stand at once in one deltas partition; more are counted and not told."""

EVIDENCE_MAX: Final = 200
"""Verdicts of one block that look their evidence up, at 2 ms for a tenant of five cells; if a thousand tenants breach
at once, the others have theirs when they are told again, a minute later."""


@dataclass(frozen=True)
class Finding:
    """What a rule found of one scope that is over its threshold.

    Attributes:
        starts_ms: event time at which it began, if this is the first finding.
        evidence: called only if the finding is told.
        per_hour_nanousd: current excess per hour.
        outlook: called only if the finding is told.
    """

    value: float
    threshold: float
    at_ms: int
    starts_ms: int
    excess_nanousd: int
    per_hour_nanousd: Callable[[], int]
    evidence: Callable[[], Evidence]
    until_ms: int | None = None
    exhausted_ms: int | None = None
    outlook: Callable[[], Outlook | None] | None = None


@dataclass
class Standing:
    """One verdict that stands."""

    starts_ms: int
    told_ms: int
    at_ms: int
    excess_nanousd: int
    driver: str


class Known(Protocol):
    """Scopes by value."""

    def id_of(self, value: str) -> int | None:
        """Number of a known value."""


class Standings:
    """Standing verdicts by rule and scope value; part of the checkpoint.

    Attributes:
        changed: since the last checkpoint row was taken. refused: findings beyond STANDING_MAX.
    """

    def __init__(self) -> None:
        """Nothing stands."""
        self._by_rule: dict[str, dict[str, Standing]] = {}
        self._told: list[Verdict] = []
        self._looked_up = 0
        self.changed = False
        self.refused = 0

    def of(self, rule: AnyRule) -> dict[str, Standing]:
        """Standing verdicts of a rule by scope value."""
        return self._by_rule.get(rule.id, {})

    def ids_of(self, rule: AnyRule, scopes: Known, at_ms: int) -> Ids:
        """Ids of a rule's standing scopes, ascending; what stands of a scope that was evicted is cleared."""
        if not self._by_rule.get(rule.id):
            return NOTHING
        ids = {value: scopes.id_of(value) for value in self.of(rule)}
        for value in [value for value, i in ids.items() if i is None]:
            self.cleared(rule, value, at_ms, 0.0, 0.0)
        return np.array(sorted(i for i in ids.values() if i is not None), np.int32)

    def due(self, rule: AnyRule, value: str, now_ms: int) -> bool:
        """Whether a finding would be told: it is new, or it is time to tell it again."""
        standing = self.of(rule).get(value)
        if standing is None:
            return True
        return now_ms - standing.told_ms >= max(
            UPDATE_MS, (standing.told_ms - standing.starts_ms) // UPDATE_SHARE
        )

    def found(self, rule: AnyRule, value: str, finding: Finding, now_ms: int) -> None:
        """A scope is over the rule's threshold."""
        standing = self.of(rule).get(value)
        if standing is None:
            if sum(map(len, self._by_rule.values())) >= STANDING_MAX:
                self.refused += 1
                return
            standing = Standing(finding.starts_ms, now_ms, finding.at_ms, finding.excess_nanousd, rule.driver)
            self._by_rule.setdefault(rule.id, {})[value] = standing
            self._tell(rule, value, standing, "breach", finding)
        elif self.due(rule, value, now_ms):
            standing.told_ms, standing.at_ms = now_ms, finding.at_ms
            standing.excess_nanousd = finding.excess_nanousd
            self._tell(rule, value, standing, "update", finding)

    def cleared(self, rule: AnyRule, value: str, at_ms: int, number: float, threshold: float) -> None:
        """A scope that stood is below the rule's threshold again."""
        standing = self.of(rule).get(value)
        if standing is None:
            return
        del self._by_rule[rule.id][value]
        self.changed = True
        self._told.append(
            Verdict(
                partition=0,
                offset=0,
                index=0,
                rule=rule.id,
                scope=axis_scope_key(rule.axis, value),
                state="clear",
                at_ms=max(at_ms, standing.starts_ms),
                starts_ms=standing.starts_ms,
                value=number,
                threshold=threshold,
                driver=standing.driver,
                excess_nanousd=standing.excess_nanousd,
            )
        )

    def keep_only(self, rule_ids: set[str]) -> None:
        """Forget rules that are no longer in force; the decider resolves their alerts itself."""
        self._by_rule = {rule: standing for rule, standing in self._by_rule.items() if rule in rule_ids}
        self.changed = True

    def take(self) -> list[Verdict]:
        """What is to be told, in the order in which it was found; the caller numbers it."""
        told, self._told = self._told, []
        self._looked_up = 0
        return told

    def dump(self) -> list[Any]:
        """Plain data for the checkpoint row."""
        self.changed = False
        return [
            [rule, value, s.starts_ms, s.told_ms, s.at_ms, s.excess_nanousd, s.driver]
            for rule, by_value in sorted(self._by_rule.items())
            for value, s in by_value.items()
        ]

    def load(self, rows: list[Any]) -> None:
        """Inverse of `dump`, into empty standings."""
        for rule, value, *fields in rows:
            self._by_rule.setdefault(rule, {})[value] = Standing(*fields)

    def _tell(
        self, rule: AnyRule, value: str, standing: Standing, state: VerdictState, finding: Finding
    ) -> None:
        self._looked_up += 1
        few = self._looked_up <= EVIDENCE_MAX
        evidence = finding.evidence() if few else Evidence(rule.driver, (), (), ())
        standing.driver = evidence.driver
        self.changed = True
        parts: tuple[DriverPart, ...] = evidence.drivers
        who: tuple[Contributor, ...] = evidence.contributors
        self._told.append(
            Verdict(
                partition=0,
                offset=0,
                index=0,
                rule=rule.id,
                scope=axis_scope_key(rule.axis, value),
                state=state,
                at_ms=finding.at_ms,
                starts_ms=standing.starts_ms,
                value=finding.value,
                threshold=finding.threshold,
                driver=evidence.driver,
                excess_nanousd=standing.excess_nanousd,
                excess_nanousd_per_hour=finding.per_hour_nanousd(),
                drivers=parts,
                contributors=who,
                examples=evidence.examples,
                until_ms=finding.until_ms,
                exhausted_ms=finding.exhausted_ms,
                outlook=finding.outlook() if finding.outlook is not None and few else None,
                cost_change=evidence.cost_change,
            )
        )
