"""An engaged kill switch on `tokenfuse.killswitch`, for gateways that read the topic themselves."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict

from tokenfuse.contracts.killswitch import Action, Mode
from tokenfuse.contracts.public.base import PublicModel, Time


class KillSwitch(PublicModel):
    """An engaged switch; key: the canonical scope (`~all` for everything), release: a tombstone.

    The header `generation` stands on values and tombstones; a reader drops what is not newer. The key `~heartbeat`
    carries another document, {at, generation}: the decider is alive.
    """

    model_config = ConfigDict(title="KillSwitch")
    schema_id: ClassVar[str] = "urn:tokenfuse:schema:killswitch:v1"

    scope: dict[str, str]
    """Calls to which it applies: axis to value; {} is every call."""
    action: Action
    """What a gateway does with such a call."""
    mode: Mode
    """`shadow`: report what would be refused, refuse nothing."""
    reason: str
    """Why, for the caller and the operator."""
    engaged_at: Time
    """When it was engaged."""
    expires_at: Time
    """After this a gateway ignores it, whatever the topic says."""
    engaged_by: str
    """A rule's id, or who gave the command."""
    generation: int
    """Grows with every change of any switch."""
    rule: str | None = None
    """The rule that engaged it."""
    fingerprint: str | None = None
    """The alert that engaged it: the evidence."""
    downgrade_to: str | None = None
    """Model to use instead, for action `downgrade`."""
