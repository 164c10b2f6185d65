"""A sample gateway in a process of its own, and a client that asks it whether a call may go ahead."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec

START_SECONDS_MAX: Final = 20.0
STOP_SECONDS: Final = 5.0
ALLOWED: Final = 200
REFUSED: Final = 402


class GatewayNotStartedError(RuntimeError):
    """The sample gateway did not say where it listens."""


class GatewayClient:
    """Asks the sample gateway for completions."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    async def complete(self, axes: Mapping[str, str]) -> tuple[int, Any]:
        """Ask for one completion of a call with these axes; status and JSON body."""
        body = msgspec.json.encode({"messages": [{"role": "user", "content": "go on"}]})
        headers = {f"x-{axis.replace('_', '-')}": value for axis, value in axes.items()}
        return await self._ask("POST /v1/chat/completions", headers, body)

    async def ready(self) -> bool:
        """Whether it knows what is engaged."""
        with suppress(OSError):
            return (await self._ask("GET /readyz", {}, b""))[0] == ALLOWED
        return False

    async def _ask(self, what: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            fields = {"host": self._host, "content-length": str(len(body)), **headers}
            lines = [f"{what} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
            writer.write("\r\n".join(lines).encode() + body)
            head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
            return int(head.split()[1]), msgspec.json.decode(answer)
        finally:
            writer.close()


@asynccontextmanager
async def sample_gateway(bootstrap_servers: str, topic_prefix: str = "") -> AsyncIterator[GatewayClient]:
    """Run `python -m tokenfuse.gateway.sample` while the context lasts.

    Raises:
        GatewayNotStartedError: it ended, or said nothing for START_SECONDS_MAX.
    """
    options = ["--bootstrap-servers", bootstrap_servers, "--topic-prefix", topic_prefix]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tokenfuse.gateway.sample", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C goes to the demo, which ends it in order
    )  # fmt: skip
    try:
        host, port = await _address(process)
        yield GatewayClient(host, port)
    finally:
        await _end(process)


async def _address(process: asyncio.subprocess.Process) -> tuple[str, int]:
    assert process.stdout is not None  # noqa: S101 - asked for above
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            line = await process.stdout.readline()
        _, _, address = line.decode().rpartition("http://")
        host, _, port = address.strip().rpartition(":")
        return host, int(port)
    except (TimeoutError, ValueError):
        raise GatewayNotStartedError("the sample gateway did not start") from None


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
