"""`/livez`, `/readyz` and `/metrics` of one process. Live never depends on Kafka; ready names who is not.

Three answers to GET need no web framework, which no role but notify would load otherwise. They are given by the event loop
of the role itself: one that hangs is not live.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

REQUEST_BYTES_MAX: Final = 16 * 1024
REQUEST_SECONDS: Final = 10.0
"""Whoever connects and does not ask within so long is hung up on."""

TEXT: Final = "text/plain; charset=utf-8"

Answer = tuple[HTTPStatus, str, bytes]
"""Status, content type, body."""


class PortError(RuntimeError):
    """Health cannot be served: the port is taken, or the address is not of this machine."""


class Readiness:
    """Which parts of this process are ready."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        """None is ready yet."""
        self._ready = dict.fromkeys(parts, False)

    def set(self, part: str, *, ready: bool) -> None:
        """Say whether a part is ready."""
        self._ready[part] = ready

    def waiting(self) -> list[str]:
        """Parts that are not ready."""
        return [part for part, ready in self._ready.items() if not ready]


@asynccontextmanager
async def serve_health(host: str, port: int, readiness: Readiness) -> AsyncIterator[int]:
    """Serve while the context lasts; gives the port.

    Raises:
        PortError: it cannot listen there.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that goes away, or says what is no request, gets no answer.
        with contextlib.suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(REQUEST_SECONDS):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(request, readiness))
                await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(serve, host, port, limit=REQUEST_BYTES_MAX)
    except OSError as error:
        # asyncio's own text repeats the address as a tuple; a name that is unknown has a negative number.
        number = error.errno or 0
        why = os.strerror(number) if number > 0 else error.strerror or error
        raise PortError(
            f"health cannot be served on {host}:{port}: {why}; set TOKENFUSE_PORT to another port, "
            f"or to 0 for a free one"
        ) from error
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def _response(request: bytes, readiness: Readiness) -> bytes:
    """One request, one answer, one connection: nobody asks more than a few times a minute."""
    method, _, rest = request.decode("latin-1").partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    if method in {"GET", "HEAD"}:
        status, kind, body = _answer(path, readiness)
    else:
        status, kind, body = HTTPStatus.METHOD_NOT_ALLOWED, TEXT, b"only GET\n"
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)


def _answer(path: str, readiness: Readiness) -> Answer:
    match path:
        case "/livez":
            return HTTPStatus.OK, TEXT, b"ok\n"
        case "/readyz":
            if waiting := readiness.waiting():
                return HTTPStatus.SERVICE_UNAVAILABLE, TEXT, f"not ready: {', '.join(waiting)}\n".encode()
            return HTTPStatus.OK, TEXT, b"ok\n"
        case "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest()
        case _:
            return HTTPStatus.NOT_FOUND, TEXT, b"there are /livez, /readyz and /metrics\n"
