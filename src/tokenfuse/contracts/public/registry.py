"""The published schemas by name: what `tokenfuse schema` prints and `schemas/` holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tokenfuse.contracts.public.alert import Alert
from tokenfuse.contracts.public.command import Command
from tokenfuse.contracts.public.event import CostEvent
from tokenfuse.contracts.public.expectation import Expectation
from tokenfuse.contracts.public.killswitch import KillSwitch
from tokenfuse.contracts.public.rollup import Rollup

SCHEMAS: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "event": CostEvent.json_schema,
    "alert": Alert.json_schema,
    "killswitch": KillSwitch.json_schema,
    "rollup": Rollup.json_schema,
    "command": Command.json_schema,
    "expectation": Expectation.json_schema,
}
