"""One turn: what the parts of the decider share while they work on one signal, and collect for its outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tokenfuse.decide.decider.outputs import Outputs

if TYPE_CHECKING:
    from tokenfuse.decide.decider.state import AlertRecord


@dataclass(slots=True)
class Turn:
    """One signal being applied.

    Attributes:
        offset: of the signal; `seq` of the alerts and `generation` of the switches that it causes.
        clock_ms: the decider's clock.
        alerts: fingerprints to be written once at the end, however often they changed.
        switch_keys: switches to be compared with what the topic says.
        expectation_keys: planned changes and lessons that changed.
    """

    offset: int
    clock_ms: int
    out: Outputs = field(default_factory=Outputs)
    alerts: set[str] = field(default_factory=set)
    switch_keys: set[str] = field(default_factory=set)
    expectation_keys: set[str] = field(default_factory=set)

    def emit(self, alert: AlertRecord, at_ms: int) -> None:
        """Have the alert written at the end of the turn; its time never goes back."""
        alert.at_ms = max(alert.at_ms, at_ms)
        self.alerts.add(alert.fingerprint)
