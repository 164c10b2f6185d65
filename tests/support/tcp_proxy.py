"""A TCP proxy between workers and broker that stalls, delays and cuts, for one side or both."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Self

CHUNK_BYTES = 64 * 1024


@dataclass
class Direction:
    """One way through the proxy: bytes wait while it is closed, and `delay_seconds` before they go on."""

    delay_seconds: float = 0.0
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()


class TcpProxy:
    """Listens on a port of its own and passes everything on to another one on this machine.

    Attributes:
        to_broker, from_broker: the two ways. A closed one keeps its connections: neither end is told.
        connections: how many were made so far.
    """

    def __init__(self, port: int, target_port: int) -> None:
        """Nothing listens yet."""
        self._port, self._target_port = port, target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.to_broker, self.from_broker = Direction(), Direction()
        self.connections = 0

    @property
    def address(self) -> str:
        """`host:port` for bootstrap servers."""
        return f"127.0.0.1:{self._port}"

    def stall(self) -> None:
        """Nothing passes; connections stay and new ones are taken."""
        self.to_broker.open.clear()
        self.from_broker.open.clear()

    def heal(self) -> None:
        """Everything passes again, what waited first."""
        for direction in (self.to_broker, self.from_broker):
            direction.open.set()
            direction.delay_seconds = 0.0

    def cut(self) -> None:
        """Every connection ends with a reset, wherever it is in its messages."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            to, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        for source, sink, direction in ((reader, back, self.to_broker), (to, writer, self.from_broker)):
            pump = asyncio.create_task(self._pump(source, sink, direction))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: Direction
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK_BYTES):
                await direction.open.wait()
                await asyncio.sleep(direction.delay_seconds)
                sink.write(data)
                await sink.drain()
        sink.transport.abort()
        self._writers.discard(sink)
