"""What runs inside a gateway: `check` before a call, `publish` after it. Imports contracts, aiokafka and msgspec only."""

from __future__ import annotations

from tokenfuse.gateway.client import Gateway, Status
from tokenfuse.gateway.decision import Decision, message, refusal_body
from tokenfuse.gateway.publisher import DropReason, InvalidEventError, Publisher
from tokenfuse.gateway.threads import BlockingGateway, BlockingPublisher

__all__ = [
    "BlockingGateway",
    "BlockingPublisher",
    "Decision",
    "DropReason",
    "Gateway",
    "InvalidEventError",
    "Publisher",
    "Status",
    "message",
    "refusal_body",
]
