"""Reading lines: plain and compressed files, and lines that are too long."""

import gzip
import io
import sys
from types import SimpleNamespace

import pytest
import zstandard

from tokenfuse.cli.lines import STDIN, UnreadableFileError, read_lines

TEXT = b'{"a": 1}\r\n\n{"b": 2}\nlast without end'
LINES = [b'{"a": 1}', b"", b'{"b": 2}', b"last without end"]


def test_plain_gzip_and_zstandard_give_the_same_lines(tmp_path):
    zst = zstandard.ZstdCompressor()
    files = {"x.jsonl": TEXT, "x.jsonl.gz": gzip.compress(TEXT), "x.jsonl.zst": zst.compress(TEXT)}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        assert list(read_lines(tmp_path / name)) == LINES


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: zstandard.ZstdCompressor().compress(data)])
def test_files_joined_by_cat_are_read_to_their_end(tmp_path, pack):
    path = tmp_path / ("x.gz" if pack is gzip.compress else "x.zst")
    path.write_bytes(pack(b"one\n") + pack(b"two\n"))
    assert list(read_lines(path)) == [b"one", b"two"]


def test_a_dash_is_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(TEXT)))
    assert list(read_lines(STDIN)) == LINES


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_as_long_as_the_bound_is_whole(tmp_path, end):
    path = tmp_path / "x"
    path.write_bytes(b"x" * 10 + end)
    assert list(read_lines(path, line_bytes_max=10)) == [b"x" * 10]


@pytest.mark.parametrize("length", [11, 12, 13, 5_000_000])
def test_of_a_longer_line_only_the_head_comes_and_the_next_line_is_whole(tmp_path, length):
    path = tmp_path / "x"
    path.write_bytes(b"y" * length + b"\nnext\n")
    assert list(read_lines(path, line_bytes_max=10)) == [b"y" * 11, b"next"]


def test_an_empty_file_has_no_lines(tmp_path):
    (tmp_path / "x").touch()
    assert list(read_lines(tmp_path / "x")) == []


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UnreadableFileError, match=r"nowhere\.jsonl: No such file"):
        list(read_lines(tmp_path / "nowhere.jsonl"))


@pytest.mark.parametrize("name", ["x.gz", "x.zst"])
@pytest.mark.parametrize("damage", ["not compressed at all", "cut", "flipped"])
def test_damaged_compression_is_an_error_and_not_a_shorter_file(tmp_path, name, damage):
    compress = gzip.compress if name == "x.gz" else zstandard.ZstdCompressor(write_checksum=True).compress
    whole = compress(b"".join(b"%d\n" % (n * 7919 % 100_003) for n in range(50_000)))
    flipped = whole[:2000] + bytes([whole[2000] ^ 255]) + whole[2001:]
    data = {"cut": whole[: len(whole) // 2], "flipped": flipped}.get(damage, b"plain text\n")
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UnreadableFileError, match=name):
        list(read_lines(tmp_path / name))
