"""Limits of scopes, looked up once per scope: a table's, else the rule's, for scopes that its pattern matches."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from tokenfuse.detect.cap import NO_LIMIT
from tokenfuse.windows.pane import Ids
from tokenfuse.windows.scopes import Scopes


class Limits:
    """Nano-dollars by scope id; an id may have passed to another value."""

    def __init__(self, match: str, default: int | None, by_value: Mapping[str, int]) -> None:
        """Nothing is looked up yet."""
        self._match = match
        self._default = NO_LIMIT if default is None else default
        self._by_value = by_value
        self._limits = np.empty(0, np.int64)
        self._known = np.empty(0, np.int64)

    def of(self, scopes: Scopes, ids: Ids) -> npt.NDArray[np.int64]:
        """Limits of some scopes, int64[n]; NO_LIMIT where there is none."""
        if len(self._known) < len(scopes.born):
            more = len(scopes.born) - len(self._known)
            self._known = np.concatenate([self._known, np.full(more, -1, np.int64)])
            self._limits = np.concatenate([self._limits, np.full(more, NO_LIMIT, np.int64)])
        stale = ids[self._known[ids] != scopes.born[ids]]
        for i in stale.tolist():
            self._limits[i] = self._limit(scopes.values[i])
        self._known[stale] = scopes.born[stale]
        return self._limits[ids]

    def _limit(self, value: str | None) -> int:
        if value is None or not fnmatchcase(value, self._match):
            return NO_LIMIT
        return self._by_value.get(value, self._default)
