"""Back from the changelog: the newest checkpoint of a partition of which every row is there."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tokenfuse.runtime.statelog.rows import (
    Head,
    Key,
    add_digests,
    decode_head,
    parse_key,
    row_body,
    row_digest,
    row_offset,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class IncompleteCheckpointError(RuntimeError):
    """There are heads, but of each a row is missing: what was read is not what was written."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint.

    Attributes:
        offset: last input offset in the state; -1: there is none, the state is empty.
        keys: every key of the partition that was seen, whatever it belongs to.
    """

    offset: int
    head: bytes
    rows: dict[str, bytes]
    keys: tuple[bytes, ...]


@dataclass(slots=True)
class _Incarnation:
    head: Head | None = None
    rows: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))


def by_partition(changelog: Iterable[tuple[bytes, bytes | None]]) -> dict[int, dict[bytes, bytes]]:
    """The latest value of each key, tombstones left out, per input partition."""
    parts: dict[int, dict[bytes, bytes]] = defaultdict(dict)
    for key, value in changelog:
        if value is not None:
            parts[parse_key(key).partition][key] = value
    return parts


def newest_checkpoint(values: Mapping[bytes, bytes]) -> Checkpoint:
    """Choose from all keys of one partition.

    State is a function of the input's prefix, so of two whole checkpoints the one with the higher offset is right,
    whoever wrote it. One that is not whole (its writer was superseded and its rows deleted) is passed over.

    Raises:
        IncompleteCheckpointError: heads, but no whole checkpoint.
        UnknownFormatError: written by a release that this one cannot read.
    """
    keys = tuple(values)
    candidates = [(i.head, i) for i in _incarnations(values).values() if i.head is not None]
    for head, incarnation in sorted(candidates, key=lambda candidate: candidate[0].offset, reverse=True):
        rows = _rows_of(head, incarnation)
        if rows is not None:
            return Checkpoint(head.offset, head.core, rows, keys)
    if candidates:
        found = [f"offset {head.offset}: {len(i.rows)} of {head.rows} rows" for head, i in candidates]
        msg = f"no head with all its rows among {len(keys)} keys ({', '.join(found)})"
        raise IncompleteCheckpointError(msg)
    return Checkpoint(-1, b"", {}, keys)


def _incarnations(values: Mapping[bytes, bytes]) -> dict[str, _Incarnation]:
    found: dict[str, _Incarnation] = defaultdict(_Incarnation)
    for raw_key, value in values.items():
        key: Key = parse_key(raw_key)
        if key.name is None:
            found[key.incarnation].head = decode_head(value)
        else:
            found[key.incarnation].rows[key.name].append(value)
    return found


def _rows_of(head: Head, incarnation: _Incarnation) -> dict[str, bytes] | None:
    """The rows that a head vouches for; None if one is missing."""
    rows: dict[str, bytes] = {}
    digest = 0
    for name in incarnation.rows.keys() - set(head.dropped):
        # Newer versions belong to a checkpoint that was never finished.
        versions = [(row_offset(v), v) for v in incarnation.rows[name] if row_offset(v) <= head.offset]
        if versions:
            offset, value = max(versions, key=lambda version: version[0])
            rows[name] = row_body(value)
            digest = add_digests(digest, row_digest(name, offset))
    return rows if (len(rows), digest) == (head.rows, head.digest) else None
