"""Health of one process: who is not ready is named, and a port that cannot be had is one sentence."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import aiohttp
import pytest

from tokenfuse.runtime import metrics  # noqa: F401 - what is counted is registered by its import
from tokenfuse.runtime.health import PortError, Readiness, serve_health


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/{path}") as answer:
        return answer.status, await answer.text()


async def test_ready_names_the_parts_that_are_not_and_live_does_not_depend_on_them():
    readiness = Readiness(("ingest", "agents"))
    readiness.set("ingest", ready=True)
    async with serve_health("127.0.0.1", 0, readiness) as port:
        assert await get(port, "readyz") == (503, "not ready: agents\n")
        assert (await get(port, "livez"))[0] == 200
        readiness.set("agents", ready=True)
        assert await get(port, "readyz") == (200, "ok\n")
        assert "tokenfuse_dead_letters_total" in (await get(port, "metrics"))[1]


async def test_what_is_not_asked_for_rightly_is_answered_in_words():
    async with serve_health("127.0.0.1", 0, Readiness(())) as port, aiohttp.ClientSession() as session:
        assert (await get(port, "metrics?name[]=x"))[0] == 200
        assert (await get(port, "nothing"))[0] == 404
        async with session.post(f"http://127.0.0.1:{port}/livez", data="x") as answer:
            assert answer.status == 405
        async with session.head(f"http://127.0.0.1:{port}/livez") as answer:
            assert (answer.status, answer.headers["Content-Length"]) == (200, "3")


async def test_noise_on_the_port_harms_nobody():
    async with serve_health("127.0.0.1", 0, Readiness(())) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x" * 100_000)
        with contextlib.suppress(ConnectionError):
            assert (await reader.read()).startswith(b"HTTP/1.0 400")
        writer.close()
        assert (await get(port, "livez"))[0] == 200


async def test_a_port_that_is_taken_is_named_with_the_setting():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=f"127.0.0.1:{port}: Address already in use; set TOKENFUSE_PORT"):
            async with serve_health("127.0.0.1", port, Readiness(())):
                pass


async def test_an_address_of_another_machine_is_refused_in_words():
    with pytest.raises(PortError, match=r"health cannot be served on 192\.0\.2\.1:0"):
        async with serve_health("192.0.2.1", 0, Readiness(())):
            pass
