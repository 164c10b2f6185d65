"""Records: the largest value a day of some quantities, by key, over two weeks; part of the checkpoint, in rows of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tokenfuse.windows.codec import pack, unpack

PREFIX: Final = "record/"
DAYS: Final = 14
SLOTS: Final = DAYS + 1
"""The days before, and today."""
CHUNK: Final = 256
"""Keys per checkpoint row: 0.4 MB with 12 quantities."""
KEYS_MAX: Final = 50_000
"""More keys are counted in `refused` and have no record."""

Ints = npt.NDArray[np.int64]


class Records:
    """Daily maxima of `width` quantities.

    Attributes:
        changed: chunks of keys that changed since their row was taken. refused: keys beyond KEYS_MAX.
    """

    def __init__(self, width: int) -> None:
        """No key is known."""
        self._width = width
        self._keys: list[str] = []
        self._places: dict[str, int] = {}
        self._values = np.zeros((16, width, SLOTS), np.int64)
        self._day_of = np.full(SLOTS, -1, np.int64)
        self.changed: set[int] = set()
        self.refused = 0

    @property
    def chunks(self) -> range:
        """Numbers of the checkpoint rows: one at least as soon as a day is known, be it that nothing happened on it."""
        return range(max(-(-len(self._keys) // CHUNK), int((self._day_of >= 0).any())))

    def places(self, keys: list[str]) -> Ints:
        """Places of some keys, new ones taken in; -1 where there is no room."""
        return np.array([self._place(key) for key in keys], np.int64)

    def learn(self, places: Ints, values: Ints, day: int) -> None:
        """Take values of a day in. Shapes: [n], [n, width]; a place may repeat. Days that are over are left alone."""
        slot = self._slot(day)
        if slot is None or not len(places):
            return  # and yet the day is known: nothing happened on it
        known = places >= 0
        places, values = places[known], values[known]
        higher = (values > self._values[places, :, slot]).any(axis=1)
        np.maximum.at(self._values[:, :, slot], places[higher], values[higher])
        self.changed.update((places[higher] // CHUNK).tolist())

    def before(self, places: Ints, day: int, quantity: int) -> tuple[Ints, Ints]:
        """Daily maxima of one quantity on the days before, largest first, int64[n, DAYS]; and how many days have one."""
        past = (self._day_of >= 0) & (self._day_of < day) & (self._day_of >= day - DAYS)
        found = np.where(past, self._values[places, quantity], 0)
        found[places < 0] = 0
        found = -np.sort(-found, axis=1)[:, :DAYS]
        return found, (found > 0).sum(axis=1)

    def known_places(self, keys: list[str]) -> Ints:
        """Places of some keys; -1 where there is none yet."""
        return np.array([self._places.get(key, -1) for key in keys], np.int64)

    def keys_of(self, places: Ints) -> list[str]:
        """Inverse of `known_places`; an empty key where there is none."""
        return [self._keys[place] if place >= 0 else "" for place in places.tolist()]

    def of_day(self, places: Ints, day: int) -> Ints:
        """What was learned of a day so far, int64[n, width]; 0 where nothing was."""
        found = self._values[places, :, day % SLOTS].copy()
        found[(places < 0) | (self._day_of[day % SLOTS] != day)] = 0
        return found

    def knows(self, day: int) -> bool:
        """Whether something was learned on a day, be it that nothing happened."""
        return bool(self._day_of[day % SLOTS] == day)

    def knows_before(self, day: int) -> bool:
        """Whether any day before is known."""
        return bool(((self._day_of >= 0) & (self._day_of < day)).any())

    def largest(self, day: int, quantity: int, days_min: int) -> int:
        """The largest record of all keys that have enough days; 0: none has."""
        found, days = self.before(np.arange(len(self._keys)), day, quantity)
        return int(found[days >= days_min, 0].max(initial=0))

    def chunk(self, number: int) -> dict[str, Any]:
        """One checkpoint row; it counts as unchanged from now on."""
        self.changed.discard(number)
        part = slice(number * CHUNK, (number + 1) * CHUNK)
        keys = self._keys[part]
        return {"keys": keys, "values": self._values[part][: len(keys)], "day_of": self._day_of}

    def restore_chunk(self, data: dict[str, Any]) -> None:
        """Inverse of `chunk`; chunks come in their order."""
        places = self.places(data["keys"])
        self._values[places] = data["values"]
        self._day_of = np.maximum(self._day_of, data["day_of"])
        self.changed.clear()

    def _place(self, key: str) -> int:
        place = self._places.get(key)
        if place is not None:
            return place
        if len(self._keys) >= KEYS_MAX:
            self.refused += 1
            return -1
        place = self._places[key] = len(self._keys)
        self._keys.append(key)
        if place >= len(self._values):
            self._values = np.concatenate([self._values, np.zeros_like(self._values)])
        self.changed.add(place // CHUNK)
        return place

    def _slot(self, day: int) -> int | None:
        slot = day % SLOTS
        if self._day_of[slot] > day:
            return None
        if self._day_of[slot] < day:
            self._day_of[slot] = day
            self._values[:, :, slot] = 0
            self.changed.update(self.chunks)
        return slot


class RecordShelf:
    """Records by name, as long as a rule in force asks for them; rows `record/<name>/<chunk>`.

    Attributes:
        kept: names that rules in force ask for.
    """

    def __init__(self) -> None:
        """Nothing is recorded."""
        self._by_name: dict[str, Records] = {}
        self._dropped: list[str] = []
        self.kept: set[str] = set()

    def keep(self, names: set[str]) -> None:
        """Forget what no rule asks for any more."""
        self.kept = names
        for name in sorted(set(self._by_name) - names):
            self._dropped += [f"{PREFIX}{name}/{chunk}" for chunk in self._by_name.pop(name).chunks]

    def of(self, name: str, width: int) -> Records:
        """The records of a name."""
        return self._by_name.setdefault(name, Records(width))

    def dirty_rows(self) -> list[str]:
        """Names of rows that changed since they were taken."""
        return [f"{PREFIX}{n}/{chunk}" for n, r in self._by_name.items() for chunk in sorted(r.changed)]

    def snapshot(self, row: str) -> bytes:
        """Bytes of one row, which counts as unchanged from now on."""
        name, chunk = row.removeprefix(PREFIX).split("/")
        return pack(self._by_name[name].chunk(int(chunk)))

    def dropped_rows(self) -> list[str]:
        """Names of rows that no longer exist, once."""
        names, self._dropped = self._dropped, []
        return names

    def load(self, rows: Mapping[str, bytes]) -> None:
        """Inverse of `snapshot`, of all rows at once; what no rule asks for counts as dropped."""
        parsed = (row.removeprefix(PREFIX).split("/") for row in rows)
        for name, chunk in sorted((name, int(chunk)) for name, chunk in parsed):
            row = f"{PREFIX}{name}/{chunk}"
            if name in self._by_name:
                self._by_name[name].restore_chunk(unpack(rows[row]))
            else:
                self._dropped.append(row)
