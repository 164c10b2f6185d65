"""The rule file as people write it: every kind of rule, the settings, and the JSON Schema for editors."""

from __future__ import annotations

from typing import Annotated, Any, Final, get_args

from pydantic import BaseModel, Field

from tokenfuse.rules.kinds.absence import AbsenceSpec
from tokenfuse.rules.kinds.agent import AgentSpec
from tokenfuse.rules.kinds.base import ResponseSpec, Strict, Table
from tokenfuse.rules.kinds.burn_rate import Burn, BurnRateSpec
from tokenfuse.rules.kinds.burst import BurstSpec
from tokenfuse.rules.kinds.cap import BudgetSpec, CapSpec, Notify
from tokenfuse.rules.kinds.drift import DriftSpec
from tokenfuse.rules.kinds.novelty import NoveltySpec
from tokenfuse.rules.kinds.price import PriceSpec
from tokenfuse.rules.kinds.prompt_budget import PromptBudgetSpec
from tokenfuse.rules.kinds.spike import SpikeSpec
from tokenfuse.rules.kinds.volume import VolumeSpec

AnyKind = (
    CapSpec
    | BudgetSpec
    | SpikeSpec
    | DriftSpec
    | BurnRateSpec
    | VolumeSpec
    | AgentSpec
    | BurstSpec
    | PriceSpec
    | PromptBudgetSpec
    | AbsenceSpec
    | NoveltySpec
)
AnySpec = Annotated[AnyKind, Field(discriminator="kind")]
KINDS: Final = tuple(spec.model_fields["kind"].annotation.__args__[0] for spec in get_args(AnyKind))
"""What a rule's `kind` may be."""


class SettingsSpec(Strict):
    """What holds for all rules; in one file only."""

    default_time_zone: str = Field(
        "UTC", description="IANA zone of calendar windows where no tenant's zone applies."
    )
    time_zones: Table | None = Field(None, description="IANA zone per tenant, from a table.")
    switches_max: int = Field(
        100, description="Most kill switches engaged at once; more are refused, visibly.", ge=0, le=10_000
    )


class RuleFile(Strict):
    """One file of rules/*.yaml."""

    settings: SettingsSpec | None = Field(None, description="What holds for all rules; in one file only.")
    rules: list[AnySpec] = Field([], description="The rules, in the order in which they are shown.")


def json_schema() -> dict[str, Any]:
    """JSON Schema of a rule file, for editors (`# yaml-language-server: $schema=...`)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "TokenFuse rule file v1",
        **{key: value for key, value in RuleFile.model_json_schema().items() if key != "title"},
    }


MODELS: Final[tuple[type[BaseModel], ...]] = (
    *get_args(AnyKind), ResponseSpec, Notify, Burn, Table, SettingsSpec, RuleFile,
)  # fmt: skip
"""Whose fields an error message may explain."""
