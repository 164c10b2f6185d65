"""Logs: one JSON object a line on standard output; normal operation says little, a warning says what to do."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping


def configure_logs(level: str, role: str) -> None:
    """Send structlog and the standard library's loggers the same way, every line with its role."""

    def add_role(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        # A context variable would be missing in what other threads say, such as Faust's for its consumer.
        line.setdefault("role", role)
        return line

    shared: list[Any] = [
        add_role,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    renderer = structlog.processors.JSONRenderer(sort_keys=False)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # These speak at info of every fetch and every rebalance step; at warning they say what matters.
    for noisy in (
        "aiokafka",
        "faust",
        "mode",
        "httpx2",
        "tokenfuse.runtime.statelog.faust_internals",
    ):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
