"""A compiled rule set: what `rules/*.yaml` and its tables become, and what travels in control blocks.

Files are validated by `tokenfuse.rules` (pydantic, path:line errors); this is the result, complete and without
references to files, so that every worker and every replay that sees it at one point of the log acts alike.
A kind of rule is a file of `rulekinds` and a name here.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tokenfuse.contracts.rulekinds.absence import AbsenceRule
from tokenfuse.contracts.rulekinds.agent import AgentMeasure, AgentRule
from tokenfuse.contracts.rulekinds.base import Maturity, Response, Rule, RuleMode
from tokenfuse.contracts.rulekinds.burn_rate import BurnRateRule
from tokenfuse.contracts.rulekinds.burst import BurstRule
from tokenfuse.contracts.rulekinds.cap import ROLLING, CapRule
from tokenfuse.contracts.rulekinds.drift import DriftRule, DriftSignal
from tokenfuse.contracts.rulekinds.novelty import NoveltyRule
from tokenfuse.contracts.rulekinds.price import PriceMeasure, PriceRule
from tokenfuse.contracts.rulekinds.prompt_budget import PromptBudgetRule
from tokenfuse.contracts.rulekinds.spike import SpikeRule
from tokenfuse.contracts.rulekinds.volume import VolumeRule

__all__ = [
    "ROLLING",
    "AbsenceRule",
    "AgentMeasure",
    "AgentRule",
    "AnyRule",
    "BurnRateRule",
    "BurstRule",
    "CapRule",
    "DriftRule",
    "DriftSignal",
    "Maturity",
    "NoveltyRule",
    "PriceMeasure",
    "PriceRule",
    "PromptBudgetRule",
    "Response",
    "Rule",
    "RuleMode",
    "RuleSet",
    "SpikeRule",
    "VolumeRule",
    "decode_ruleset",
    "encode_ruleset",
]

AnyRule = (
    CapRule
    | SpikeRule
    | DriftRule
    | BurnRateRule
    | VolumeRule
    | AgentRule
    | BurstRule
    | PriceRule
    | PromptBudgetRule
    | AbsenceRule
    | NoveltyRule
)


class RuleSet(Struct, frozen=True, kw_only=True):
    """Everything in force at one point of the log.

    Attributes:
        id: hash of the content: the same files give the same id.
        time_zones: tenant to IANA zone.
        switches_max: most switches the decider keeps engaged at once (blast radius); more are refused, visibly.
    """

    id: str
    rules: tuple[AnyRule, ...]
    default_time_zone: str = "UTC"
    time_zones: dict[str, str] = {}
    switches_max: int = 100


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(RuleSet)


def encode_ruleset(ruleset: RuleSet) -> bytes:
    """Canonical JSON: the same rule set gives the same bytes."""
    return _encoder.encode(ruleset)


def decode_ruleset(data: bytes) -> RuleSet:
    """Inverse of `encode_ruleset`.

    Raises:
        msgspec.DecodeError: not a rule set of this release.
    """
    return _decoder.decode(data)
