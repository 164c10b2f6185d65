"""Gateway and publisher for programs without an event loop: the loop runs in a daemon thread.

with BlockingGateway(Gateway("kafka:9092")) as gateway:
    decision = gateway.check(tenant="acme", model="gpt-4o")
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from tokenfuse.contracts.event import CostEvent
from tokenfuse.gateway.client import Gateway, Status
from tokenfuse.gateway.decision import Decision
from tokenfuse.gateway.publisher import CLOSE_SECONDS, Publisher

STOP_SECONDS: Final = 5.0
Result = TypeVar("Result")


class LoopThread:
    """An event loop in a daemon thread: it never keeps a process alive."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def start(self) -> None:
        """Begin to run."""
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result], timeout_seconds: float) -> Result:
        """Run a coroutine there and wait for it. Raises TimeoutError."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_seconds)

    def stop(self) -> None:
        """End the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()


class BlockingGateway:
    """A `Gateway`, usable from any thread.

    Args:
        gateway: not started.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._thread = LoopThread("tokenfuse-gateway")

    def __enter__(self) -> Self:
        self._thread.start()
        self._thread.run(self._gateway.start(), STOP_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.run(self._gateway.stop(), STOP_SECONDS)
        self._thread.stop()

    def ready(self, timeout_seconds: float) -> bool:
        """As `Gateway.ready`."""
        return self._thread.run(self._gateway.ready(timeout_seconds), timeout_seconds + STOP_SECONDS)

    def check(self, axes: Mapping[str, Any] | None = None, /, **more: Any) -> Decision:
        """As `Gateway.check`: from memory, in the caller's thread."""
        return self._gateway.check(axes, **more)

    def status(self) -> Status:
        """As `Gateway.status`."""
        return self._gateway.status()


class BlockingPublisher:
    """A `Publisher`, usable from any thread.

    Args:
        publisher: not started.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._thread = LoopThread("tokenfuse-publisher")

    def __enter__(self) -> Self:
        self._thread.start()
        self._thread.run(self._publisher.start(), STOP_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.run(self._publisher.close(), CLOSE_SECONDS + STOP_SECONDS)
        self._thread.stop()

    def publish(self, event: CostEvent | Mapping[str, Any]) -> bool:
        """As `Publisher.publish`: never waits."""
        return self._publisher.publish(event)
