"""The decider role alone, as a process: `python -m tests.support.decider_process`, settings from the environment."""

from __future__ import annotations

import asyncio
import signal

from tokenfuse.runtime.decider import run_decider
from tokenfuse.runtime.settings import Settings


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run_decider(Settings(), stop, lambda ready: print("ready" if ready else "not ready", flush=True))


if __name__ == "__main__":
    asyncio.run(main())
