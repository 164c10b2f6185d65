"""A scope: the subset of calls selected by axis values, and its canonical key.

The key is `axis=value` pairs, sorted, percent-encoded, joined by `&` (DESIGN section 12); `{}` is everything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping
from urllib.parse import quote, unquote

from tokenfuse.contracts.axes import CELL, GLOBAL, JOINT

Scope = Mapping[str, str]


def scope_key(scope: Scope) -> str:
    """Canonical key of a scope; the empty string is everything.

    >>> scope_key({"tenant": "acme & co", "feature": "chat"})
    'feature=chat&tenant=acme%20%26%20co'
    """
    return "&".join(_pair(axis, scope[axis]) for axis in sorted(scope))


def parse_scope_key(key: str) -> dict[str, str]:
    """Inverse of `scope_key`.

    Raises:
        ValueError: a part without `=`, or an axis named twice.
    """
    scope: dict[str, str] = {}
    is_encoded = "%" in key  # few keys are, and looking for it in each part would take most of the time
    for part in key.split("&") if key else ():
        axis, equals, value = part.partition("=")
        if is_encoded:
            axis, value = unquote(axis), unquote(value)
        if not equals or axis in scope:
            msg = f"not a canonical scope key: {key!r}"
            raise ValueError(msg)
        scope[axis] = value
    return scope


def axis_value(key: str, axis: str) -> str | None:
    """Value of one axis in a canonical key, None if the key does not name it; an axis whose name needs no encoding.

    >>> axis_value("feature=chat&tenant=acme%20%26%20co", "tenant")
    'acme & co'
    """
    start = f"&{key}".find(f"&{axis}=")
    if start < 0:
        return None
    value = key[start + len(axis) + 1 :].partition("&")[0]
    return unquote(value) if "%" in value else value


def some_axes(key: str, axes: Container[str]) -> str:
    """Canonical key of the scope that has only these axes of a canonical key; axes whose names need no encoding.

    >>> some_axes("feature=chat&model=gpt&tenant=acme", ("tenant", "feature"))
    'feature=chat&tenant=acme'
    """
    return "&".join(part for part in key.split("&") if part.partition("=")[0] in axes)


def axis_scope_key(axis: str, value: str) -> str:
    """Key of the scope that one axis value makes; pseudo-axes `cell` and `global` included.

    The value of a joint axis (`tenant+feature`) is the key.
    """
    if axis == GLOBAL:
        return ""
    return value if axis == CELL or JOINT in axis else _pair(axis, value)


def _pair(axis: str, value: str) -> str:
    return f"{quote(axis, safe='')}={quote(value, safe='')}"


def fingerprint(rule: str, scope: str) -> str:
    """Identity of an alert: 16 hex digits over the rule's id and the canonical scope key."""
    return hashlib.blake2b(f"{rule}\n{scope}".encode(), digest_size=8).hexdigest()


def output_partition(axis: str, value: str, partitions: int) -> int:
    """Owner of a scope on `tokenfuse.deltas`: stable for ever, since state lives with it."""
    digest = hashlib.blake2b(f"{axis}\n{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % partitions
