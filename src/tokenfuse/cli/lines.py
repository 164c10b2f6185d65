"""Lines of files: plain, `.gz`, `.zst`, or `-` for standard input. Everything that reads events uses this."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from tokenfuse.contracts.topics import EVENT_BYTES_MAX

STDIN = Path("-")
CHUNK_BYTES = 1024 * 1024
ZSTD_INPUT_BYTES = 8 * 1024
"""Compressed bytes taken at once: small, since what they expand to is held in memory."""


class UnreadableFileError(Exception):
    """A file that cannot be opened or decompressed; the message names it and says what is wrong."""


def read_lines(path: Path, line_bytes_max: int = EVENT_BYTES_MAX) -> Iterator[bytes]:
    """Lines without their line end, empty ones among them, so that a line's number is its position.

    A line longer than the bound is yielded as its first `line_bytes_max + 1` bytes, its head, and the rest is passed
    over: the decoder refuses it as too large, memory stays bounded, and the next line is read as usual.

    Raises:
        UnreadableFileError: no such file, no permission, or damaged compression.
    """
    with _opened(path) as stream:
        try:
            yield from _lines(stream, line_bytes_max)
        except _broken() as error:
            raise UnreadableFileError(f"{path}: damaged or cut off: {error}") from error


def _lines(stream: IO[bytes], line_bytes_max: int) -> Iterator[bytes]:
    while line := stream.readline(line_bytes_max + 2):
        whole = line.endswith(b"\n")
        yield line.rstrip(b"\r\n") if whole else line[: line_bytes_max + 1]
        while not whole and (rest := stream.readline(CHUNK_BYTES)):
            whole = rest.endswith(b"\n")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path == STDIN:
        yield sys.stdin.buffer
        return
    try:
        raw = path.open("rb")
    except OSError as error:
        raise UnreadableFileError(f"{path}: {error.strerror or error}") from error
    with raw, _decompressed(raw, path.suffix) as stream:
        yield stream


def _decompressed(raw: IO[bytes], suffix: str) -> IO[bytes]:
    if suffix == ".gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if suffix == ".zst":
        return io.BufferedReader(_ZstdFile(raw), CHUNK_BYTES)
    return raw


class _ZstdFile(io.RawIOBase):
    """Decompressed bytes of a file of one or more frames (`cat a.zst b.zst`, parallel compressors).

    zstandard's own `stream_reader` takes a file that was cut off for one that has ended, and events would be lost
    without a word; this raises EOFError.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame: Any = None
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._output and self._fill():
            pass
        count = min(len(buffer), len(self._output))
        buffer[:count] = self._output[:count]
        self._output = self._output[count:]
        return count

    def _fill(self) -> bool:
        """Decompresses the next piece; False at the end of the file."""
        import zstandard

        self._input = self._input or self._raw.read(ZSTD_INPUT_BYTES)
        if not self._input:
            if self._frame is not None:
                raise EOFError("the last frame is incomplete")
            return False
        frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
        self._output = memoryview(frame.decompress(self._input))
        self._input = frame.unused_data
        self._frame = None if frame.eof else frame
        return True


def _broken() -> tuple[type[Exception], ...]:
    """What damaged compression raises; zstandard is asked only where it was needed."""
    zstandard = sys.modules.get("zstandard")
    return (OSError, EOFError, zlib.error, *((zstandard.ZstdError,) if zstandard else ()))
