"""docs/notify.md names every reason there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenfuse.notify.contract import Reason
from tokenfuse.notify.selection import Skip

DOCS = (Path(__file__).parents[3] / "docs" / "notify.md").read_text()


@pytest.mark.parametrize("reason", [*Reason, *Skip])
def test_every_reason_is_explained(reason):
    assert f"`{reason}`" in DOCS
