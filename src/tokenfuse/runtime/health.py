"""`/livez`, `/readyz` and `/metrics` of one process. Live never depends on Kafka; ready names who is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

SHUTDOWN_SECONDS: Final = 1.0


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
        OSError: the port is taken.
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
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
