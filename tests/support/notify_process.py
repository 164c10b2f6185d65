"""The notify role alone in a process of its own, settings from the environment; prints `ready`, stops on SIGTERM."""

from __future__ import annotations

import asyncio
import signal

from tokenfuse.runtime.notify import run_notify
from tokenfuse.runtime.settings import Settings


def say(is_ready: bool) -> None:
    if is_ready:
        print("ready", flush=True)


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run_notify(Settings(), stop, say)


if __name__ == "__main__":
    asyncio.run(main())
