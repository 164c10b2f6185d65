"""An expectation on `tokenfuse.expectations`, for those who read the topic."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict

from tokenfuse.contracts.public.base import Number, PublicModel, Time


class Expectation(PublicModel):
    """One planned change, or what feedback on a rule and scope has taught. Key: `id`; no value: it is over."""

    model_config = ConfigDict(title="Expectation")
    schema_id: ClassVar[str] = "urn:tokenfuse:schema:expectation:v1"

    id: str
    """Of the change, or fingerprint of the alert that feedback was given on."""
    kind: Literal["change", "feedback"]
    """A change was announced, or feedback was given."""
    scope: dict[str, str]
    """Axis to value; {} is everything."""
    by: str
    """Who said it; of feedback the latest."""
    reason: str
    """Why, in that person's words."""
    starts_at: Time
    """When the change begins, or feedback was given last."""
    ends_at: Time
    """When it is forgotten."""
    factor: Number
    """Change: times the usual that is expected. Feedback: times its threshold that the bar is raised to."""
    generation: int
    """Position in the decider's input log; grows with every record."""
    rule: str | None = None
    """Id of the rule that feedback was given on."""
    accepted: str | None = None
    """The level that was called expected, in words."""
