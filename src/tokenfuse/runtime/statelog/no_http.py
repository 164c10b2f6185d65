"""Faust without aiohttp, of which it loads the client for one annotation: eighty modules of a thousand at the start."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT: Final = "aiohttp.client"


class NoHttpClient:
    """What Faust gets for `aiohttp.ClientSession`. It would make one for `App.http_client`, which is not asked for here."""


@contextmanager
def no_http() -> Iterator[None]:
    """While Faust is imported, faust/types/web.py finds an empty `aiohttp.client`. Whoever needs the real one still finds it."""
    if CLIENT in sys.modules:
        yield
        return
    stand_in = ModuleType(CLIENT)
    stand_in.ClientSession = NoHttpClient  # type: ignore[attr-defined]
    sys.modules[CLIENT] = stand_in
    try:
        yield
    finally:
        del sys.modules[CLIENT]
