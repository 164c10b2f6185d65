"""`/livez`, `/readyz` and `/metrics` of one process. Live never depends on Kafka; ready names who is not."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

SHUTDOWN_SECONDS: Final = 1.0


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

    async def livez(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        waiting = readiness.waiting()
        if waiting:
            return web.Response(status=503, text=f"not ready: {', '.join(waiting)}\n")
        return web.Response(text="ok\n")

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            # asyncio's own text repeats the address as a tuple; a name that is unknown has a negative number.
            number = error.errno or 0
            why = os.strerror(number) if number > 0 else error.strerror or error
            raise PortError(
                f"health cannot be served on {host}:{port}: {why}; set TOKENFUSE_PORT to another port, "
                f"or to 0 for a free one"
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
