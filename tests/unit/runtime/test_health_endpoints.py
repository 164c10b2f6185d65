"""Health of one process: who is not ready is named, and a port that cannot be had is one sentence."""

from __future__ import annotations

import socket

import aiohttp
import pytest

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
