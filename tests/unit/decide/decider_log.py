"""A log of signals written as a story: a decider and short words for what is said to it."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from tokenfuse.contracts.alert import Alert
from tokenfuse.contracts.command import Command
from tokenfuse.contracts.killswitch import HEARTBEAT
from tokenfuse.contracts.ruleset import (
    AnyRule,
    CapRule,
    DriftRule,
    Response,
    RuleSet,
    SpikeRule,
    VolumeRule,
    encode_ruleset,
)
from tokenfuse.contracts.signal import Clock, CommandSignal, Contributor, Signal, Verdict
from tokenfuse.decide.decider import DeciderCore, Outputs, SwitchChange

START_MS = 1_764_000_000_000  # 2025-11-24T16:00:00Z
START = "2025-11-24T16:00:00Z"
USD = 1_000_000_000
PARTITIONS = 4


def cap(name: str = "cap", **changes: object) -> CapRule:
    """A cap of 10 dollars an hour that pages and stops nothing."""
    fields = {
        "id": name, "kind": "cap", "driver": "volume", "maturity": "stable", "axis": "tenant", "severity": "page",
        "mode": "enforce", "window": "1h", "limit_nanousd": 10 * USD,
    }  # fmt: skip
    return CapRule(**(fields | changes))


def killer(name: str = "killer", **changes: object) -> CapRule:
    """A cap that blocks for 10 minutes."""
    return cap(name, **({"response": Response(action="block", ttl_seconds=600)} | changes))


def spike(name: str = "spike", **changes: object) -> SpikeRule:
    """An hour that costs 3 times the usual."""
    fields = {
        "id": name, "kind": "spike", "driver": "volume", "maturity": "stable", "axis": "tenant", "severity": "page",
        "mode": "warn", "pane": "1h", "factor": 3.0, "history_panes": 168, "history_panes_min": 24,
        "floor_nanousd": USD,
    }  # fmt: skip
    return SpikeRule(**(fields | changes))


def drift(name: str, **changes: object) -> DriftRule:
    """A per-call quantity that moved."""
    fields = {
        "id": name, "kind": "drift", "driver": name, "maturity": "stable", "axis": "tenant", "severity": "page",
        "mode": "warn", "signal": name, "windows_seconds": (300,), "z_min": 4.0, "effect_min": 0.3,
        "baseline_hours": 336, "baseline_hours_min": 24, "calls_min": 5, "floor_nanousd_per_day": 0,
        "evaluation_interval_seconds": 10,
    }  # fmt: skip
    return DriftRule(**(fields | changes))


def volume(**changes: object) -> VolumeRule:
    """More calls than ever."""
    fields = {
        "id": "volume", "kind": "drift", "driver": "volume", "maturity": "stable", "axis": "tenant", "severity": "page",
        "mode": "warn", "windows_seconds": (300,), "ratio_min": 2.0, "record_factor": 1.5, "baseline_hours": 336,
        "baseline_hours_min": 24, "calls_min": 5, "floor_nanousd_per_day": 0, "evaluation_interval_seconds": 10,
    }  # fmt: skip
    return VolumeRule(**(fields | changes))


def part(axis: str, value: str, usd: float, share: float = 1.0) -> Contributor:
    """A contributor, in dollars."""
    return Contributor(axis, value, round(usd * USD), share)


@dataclass
class Story:
    """Signals in the order in which they are told, and all that came of them."""

    rules: list[AnyRule] = field(default_factory=list)
    switches_max: int = 100
    log: list[tuple[int, Signal]] = field(default_factory=list)
    core: DeciderCore = field(default_factory=lambda: DeciderCore(PARTITIONS))
    said: list[Outputs] = field(default_factory=list)
    now_ms: int = START_MS
    sent: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rules:
            self.use(*self.rules)
            self.wait(0)

    def tell(self, signal: Signal) -> Outputs:
        """Append a signal to the log; the decider reads it at once."""
        self.log.append((len(self.log), signal))
        self.said.append(self.core.apply(*self.log[-1]))
        return self.said[-1]

    def wait(self, seconds: float) -> Outputs:
        """Time passes, for every deltas partition."""
        self.now_ms += round(seconds * 1000)
        out = Outputs()
        for partition in range(PARTITIONS):
            more = self.tick(partition)
            out.alerts += more.alerts
            out.switches += more.switches
        return out

    def tick(self, partition: int) -> Outputs:
        """One partition says what time it is."""
        return self.tell(
            Clock(
                partition=partition, offset=self._next(partition), index=0, watermark_ms=self.now_ms - 10_000,
                now_ms=self.now_ms,
            )
        )  # fmt: skip

    def verdict(
        self, rule: str, scope: str, state: str = "breach", usd: float = 1.0, **changes: object
    ) -> Outputs:
        """A rule says something of a scope, `usd` above its threshold."""
        partition = int(changes.pop("partition", 0))
        fields = {
            "partition": partition, "offset": self._next(partition), "index": 0, "rule": rule, "scope": scope,
            "state": state, "at_ms": self.now_ms, "starts_ms": self.now_ms - 5_000, "driver": "volume",
            "value": (10 + usd) * USD, "threshold": 10.0 * USD, "excess_nanousd": round(usd * USD),
        }  # fmt: skip
        return self.tell(Verdict(**(fields | changes)))

    def use(self, *rules: AnyRule) -> Outputs:
        """Put a rule set in force."""
        ruleset = RuleSet(id=f"r{len(self.log)}", rules=rules, switches_max=self.switches_max)
        return self.command("rules", ruleset=msgspec.Raw(encode_ruleset(ruleset)))

    def command(self, kind: str, **fields: object) -> Outputs:
        """Somebody asks for something."""
        defaults = {"id": f"c{len(self.log)}", "at": START, "by": "alice@cli"}
        return self.tell(CommandSignal(command=Command(kind=kind, **(defaults | fields))))

    def alerts(self) -> list[Alert]:
        """Every transition so far."""
        return [alert for out in self.said for alert in out.alerts]

    def states(self, scope: str, rule: str | None = None) -> list[str]:
        """States that the alerts of one scope went through, updates included."""
        scopes = dict(pair.split("=") for pair in scope.split("&"))
        return [a.state for a in self.alerts() if a.scope == scopes and rule in (None, a.rule)]

    def standing(self) -> dict[str, Alert]:
        """The latest transition of every alert that has not resolved, by fingerprint."""
        latest = {alert.fingerprint: alert for alert in self.alerts()}
        return {each: alert for each, alert in latest.items() if alert.state != "resolved"}

    def pages(self) -> list[Alert]:
        """Firing alerts that nothing explains: what people see."""
        return [a for a in self.standing().values() if a.state == "firing" and a.inhibited_by is None]

    def switches(self) -> list[SwitchChange]:
        """Every message on the switch topic but heartbeats."""
        return [change for out in self.said for change in out.switches if change.key != HEARTBEAT]

    def reasons(self) -> list[str]:
        """Why things were refused so far."""
        return [refusal.reason.value for out in self.said for refusal in out.refused]

    def _next(self, partition: int) -> int:
        self.sent[partition] = self.sent.get(partition, -1) + 1
        return self.sent[partition]
