"""An operator's action on `tokenfuse.commands`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from tokenfuse.contracts.command import FACTOR_MAX, TTL_SECONDS_MAX, CommandKind, Feedback
from tokenfuse.contracts.killswitch import Action
from tokenfuse.contracts.public.base import Number, PublicModel, Time


class Command(PublicModel):
    """One action, with who and why."""

    model_config = ConfigDict(title="Command")
    schema_id: ClassVar[str] = "urn:tokenfuse:schema:command:v1"

    id: Annotated[str, Field(min_length=1, max_length=128)]
    """Idempotency key: the same id is the same action, however often it is delivered."""
    kind: CommandKind
    """What to do."""
    at: Time
    """When it was given."""
    by: Annotated[str, Field(min_length=1, max_length=256)]
    """Who gave it, e.g. `alice@cli`."""
    reason: Annotated[str, Field(max_length=1000)] = ""
    """Why."""
    scope: dict[str, str] | None = None
    """For engage, release, silence and announce: axis to value; {} is everything."""
    fingerprint: str | None = None
    """For ack and feedback: the alert."""
    action: Action | None = None
    """For engage."""
    ttl_seconds: Annotated[int, Field(ge=1, le=TTL_SECONDS_MAX)] | None = None
    """For engage and silence: seconds until it ends; mandatory there."""
    ruleset: Any = None
    """For rules: the compiled rule set."""
    feedback: Feedback | None = None
    """For feedback: what the alert was; it is mandatory there."""
    factor: Annotated[Number, Field(ge=1, le=FACTOR_MAX)] | None = None
    """For announce: how many times the usual is expected; mandatory there."""
    starts_at: Time | None = None
    """For announce: when the change begins; mandatory there."""
    ends_at: Time | None = None
    """For announce: when it is over; mandatory there."""
    change: str | None = None
    """For cancel: id of the command that announced the change; mandatory there."""
