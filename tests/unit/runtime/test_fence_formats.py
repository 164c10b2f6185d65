"""Fences of another release, and offsets that an operator set."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tokenfuse.runtime.ingest.errors import UnreadableFenceError
from tokenfuse.runtime.ingest.fence import Fence, _from_offset


def committed(metadata: str, offset: int = 7) -> Any:
    return SimpleNamespace(offset=offset, metadata=metadata)


def test_a_fence_without_a_format_is_of_the_first_one() -> None:
    metadata = '{"a":7,"b":9,"record_ms":1,"event_ms":2,"recipe":"r"}'

    assert _from_offset(committed(metadata), 0) == Fence(7, 9, 1, 2, "r", 1)


@pytest.mark.parametrize("metadata", ['{"a":7,"b":9,"format":2}', '{"start":7,"format":2}', "text of a tool"])
def test_a_fence_that_cannot_be_read_is_not_taken_for_none(metadata: str) -> None:
    """Taken for none, its slice would be cut otherwise than it was begun, and counted twice or not at all."""
    with pytest.raises(UnreadableFenceError, match=r"source partition 3.*not to this release"):
        _from_offset(committed(metadata), 3)


@pytest.mark.parametrize("metadata", ["", '{"a":5,"b":9}'])
def test_an_offset_that_an_operator_set_begins_nothing(metadata: str) -> None:
    assert _from_offset(committed(metadata), 0) == Fence(7, 7)
