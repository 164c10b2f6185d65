"""What one signal makes the decider say: alerts, switch changes, control blocks, and what it refused and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from tokenfuse.contracts.alert import Alert
from tokenfuse.contracts.block import Control
from tokenfuse.contracts.expectation import Expectation
from tokenfuse.contracts.killswitch import Heartbeat, Switch


class Reason(StrEnum):
    """Why the decider did not act: metric label, log field and console text alike."""

    REPLAYED = "replayed"
    """Said before: normal after a restart or a take-over, worth a counter and no log line."""

    UNKNOWN_PARTITION = "unknown_partition"
    UNKNOWN_RULE = "unknown_rule"
    """Normal for a moment after a rule was removed, until every agent has seen the new rule set."""

    BAD_SCOPE = "bad_scope"
    ALERTS_FULL = "alerts_full"
    COMMAND_IDS_FULL = "command_ids_full"
    """The oldest id was forgotten before its time: a command delivered again later would be acted on twice."""

    BAD_RULESET = "bad_ruleset"
    BAD_TIME = "bad_time"
    MISSING_SCOPE = "missing_scope"
    UNKNOWN_AXIS = "unknown_axis"
    MISSING_TTL = "missing_ttl"
    MISSING_FINGERPRINT = "missing_fingerprint"
    DOWNGRADE_NEEDS_RULE = "downgrade_needs_rule"
    UNKNOWN_ALERT = "unknown_alert"
    NOT_SILENCED = "not_silenced"
    SWITCHES_FULL = "switches_full"
    SILENCES_FULL = "silences_full"
    MISSING_FEEDBACK = "missing_feedback"
    EXPLICIT_LIMIT = "explicit_limit"
    """Feedback on a rule whose limit a person set: caps, budgets and limits of agents are changed in the rule files."""

    STOPS_TRAFFIC = "stops_traffic"
    """Feedback on a rule that enforces a kill switch: no word of a person softens it, only its rule."""

    LESSONS_FULL = "lessons_full"
    MISSING_FACTOR = "missing_factor"
    CHANGES_FULL = "changes_full"
    UNKNOWN_CHANGE = "unknown_change"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that was not done. `detail` names it and says what the operator should do."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SwitchChange:
    """One message on `tokenfuse.killswitch`; value None is the tombstone. `generation` goes into the header."""

    key: str
    value: Switch | Heartbeat | None
    generation: int


@dataclass(frozen=True, slots=True)
class ExpectationChange:
    """One message on `tokenfuse.expectations`; value None is the tombstone. `generation` goes into the header."""

    key: str
    value: Expectation | None
    generation: int


@dataclass(slots=True)
class Outputs:
    """Everything that one signal caused, in the order in which it is to be produced.

    Attributes:
        controls: each goes to every partition of `tokenfuse.deltas`.
        refused: for the log and the counters; not part of any topic.
    """

    alerts: list[Alert] = field(default_factory=list)
    switches: list[SwitchChange] = field(default_factory=list)
    controls: list[Control] = field(default_factory=list)
    expectations: list[ExpectationChange] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, reason: Reason, detail: str = "") -> None:
        """Note what was not done."""
        self.refused.append(Refusal(reason, detail))
