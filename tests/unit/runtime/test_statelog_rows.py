"""Keys and values of the changelog read back as they were written, and a newer release's are refused."""

from __future__ import annotations

import pytest

from tokenfuse.contracts.formats import UnknownFormatError
from tokenfuse.runtime.statelog.rows import (
    FORMAT,
    Head,
    Key,
    decode_head,
    encode_head,
    encode_row,
    head_key,
    parse_key,
    row_body,
    row_key,
    row_offset,
)


def test_a_row_reads_back() -> None:
    assert parse_key(row_key(7, "ab12", 1, "tenant/1h/a|b")) == Key(7, "ab12", 1, "tenant/1h/a|b")
    value = encode_row(1 << 40, b"\0body")
    assert (row_offset(value), row_body(value)) == (1 << 40, b"\0body")


def test_a_head_reads_back() -> None:
    head = Head(FORMAT, 5, 2, (1 << 64) - 1, ("pane/1",), b"core")
    assert decode_head(encode_head(head)) == head
    assert parse_key(head_key(7, "ab12")) == Key(7, "ab12", None, None)


def test_a_newer_format_is_refused_by_name() -> None:
    newer = Head(FORMAT + 1, 5, 2, 3, (), b"")

    with pytest.raises(UnknownFormatError, match=f"format {FORMAT + 1}, this release reads {FORMAT}"):
        decode_head(encode_head(newer))
    with pytest.raises(UnknownFormatError, match=f"format {FORMAT + 1}"):
        row_offset(bytes([FORMAT + 1]) + encode_row(0, b"")[1:])


@pytest.mark.parametrize("key", [b"x", b"1|i|2|row", b"1|i"])
def test_a_foreign_key_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="not a checkpoint key"):
        parse_key(key)
