"""Logs: each line on standard output is one JSON object, whoever wrote it."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import logging, structlog, threading
from tokenfuse.runtime.logs import configure_logs
configure_logs("info", "ingest")
structlog.get_logger("a").info("ours", lines="one\\ntwo")
logging.getLogger("somebody").warning("theirs %s", "x")
logging.getLogger("aiokafka.conn").info("every fetch")
structlog.get_logger("a").debug("too small")
thread = threading.Thread(target=logging.getLogger("kafka").warning, args=("from a thread",))
thread.start()
thread.join()
try:
    raise ValueError("why")
except ValueError:
    structlog.get_logger("a").exception("failed")
"""


def test_every_line_is_one_object_with_role_level_and_time():
    result = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60
    )
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("ours", "info"), ("theirs x", "warning"), ("from a thread", "warning"), ("failed", "error"),
    ]  # fmt: skip
    assert {line["role"] for line in lines} == {"ingest"}
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert "ValueError: why" in lines[-1]["exception"]
    assert result.stderr == ""
