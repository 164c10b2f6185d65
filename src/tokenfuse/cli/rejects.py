"""A refused line of a file, as one JSON line: the original bytes, why, and where it stood."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from tokenfuse.ingest.fault import DeadLetterFault


def reject_line(fault: DeadLetterFault, file: str, line: int, original: bytes) -> bytes:
    """One line with its line end; `original` is text, or `original_base64` where the bytes are not UTF-8."""
    record: dict[str, Any] = {
        "reason": fault.reason.value,
        "path": fault.path,
        "detail": fault.detail,
        "file": file,
        "line": line,
    }
    try:
        record["original"] = original.decode()
    except UnicodeDecodeError:
        record["original_base64"] = base64.b64encode(original).decode()
    return msgspec.json.encode(record) + b"\n"
