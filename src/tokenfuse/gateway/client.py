"""Gateway: "may this call go ahead?", answered from memory in about a microsecond.

    async with Gateway("kafka:9092") as gateway:
        await gateway.ready(timeout_seconds=5)
        decision = gateway.check(tenant="acme", feature="chat", model="gpt-4o", user="u-7")
        if not decision.allowed:
            return decision.http_status, refusal_body(decision)

No broker at the start, or none later, is no error: the view is stale then, and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from msgspec import Struct

from tokenfuse.contracts.topics import KILLSWITCH
from tokenfuse.gateway.decision import ALLOWED, Decision
from tokenfuse.gateway.judge import judge, selects
from tokenfuse.gateway.reader import follow
from tokenfuse.gateway.throttle import Throttle
from tokenfuse.gateway.view import Outcome, SwitchView

if TYPE_CHECKING:
    from tokenfuse.contracts.killswitch import Switch

BACKOFF_SECONDS_MAX: Final = 10.0
_SIGNS_OF_LIFE: Final = (Outcome.ENGAGED, Outcome.RELEASED, Outcome.HEARTBEAT)

log = logging.getLogger(__name__)


class Status(Struct, frozen=True, kw_only=True):
    """How the view stands, for a health page.

    Attributes:
        read: the topic was read to its end at least once.
        connected: it is being followed right now.
        stale: as in `Decision`. silent_seconds: since the decider's last sign of life; None: never heard of.
        records: by outcome, since the last reading from the beginning.
        fault: why there is no connection, or the last record that could not be read.
    """

    read: bool
    connected: bool
    stale: bool
    silent_seconds: float | None
    engaged: int
    records: Mapping[str, int]
    fault: str


class Gateway:
    """Follows `tokenfuse.killswitch` in the background and answers from memory.

    Args:
        bootstrap_servers: Kafka brokers, `host:port`, several with commas between.
        topic_prefix: as TOKENFUSE_TOPIC_PREFIX of the service.
        security: aiokafka's own arguments: `security_protocol`, `sasl_mechanism`, `ssl_context`, ...
        fail: what a stale view means where no switch matches: `open` lets calls through, `closed` refuses them.
        fail_closed_scopes: with `open`, scopes whose calls are refused all the same, e.g. `[{"tenant": "trial"}]`.
        stale_after_seconds: without a sign of life from the decider: every 5 s, every 10 s where no event comes.
        throttle_calls_per_minute: what action `throttle` lets through, per switch and gateway process.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        topic_prefix: str = "",
        security: Mapping[str, Any] | None = None,
        fail: Literal["open", "closed"] = "open",
        fail_closed_scopes: Sequence[Mapping[str, str]] = (),
        stale_after_seconds: float = 30.0,
        throttle_calls_per_minute: float = 6.0,
    ) -> None:
        if fail not in ("open", "closed"):
            raise ValueError(f"fail must be 'open' or 'closed', got {fail!r}")
        self._topic = topic_prefix + KILLSWITCH
        self._options = {"bootstrap_servers": bootstrap_servers, **(security or {})}
        self._closed: Sequence[Mapping[str, str]] = ({},) if fail == "closed" else tuple(fail_closed_scopes)
        self._stale_after_seconds = stale_after_seconds
        self._throttle = Throttle(throttle_calls_per_minute)
        self._view = SwitchView()
        self._alive_at = float("-inf")
        self._read = asyncio.Event()
        self._connected = False
        self._fault = "not started"
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow the topic. Returns at once, whether or not a broker is there."""
        if self._task is None:
            self._task = asyncio.create_task(self._follow_for_ever(), name="tokenfuse-gateway")

    async def stop(self) -> None:
        """End it. `check` goes on answering from what is known, which gets stale."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def ready(self, timeout_seconds: float) -> bool:
        """Wait until everything engaged at the start is known; False: not within the time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._read.wait()
        return self._read.is_set()

    def check(self, axes: Mapping[str, Any] | None = None, /, **more: Any) -> Decision:
        """Whether a call may go ahead. Never blocks, never raises; from any thread.

        Args:
            axes, more: axis to value, named as the fields of CostEvent; `labels.<name>` in `axes`. None means unknown.
        """
        call = more if axes is None else {**axes, **more}
        now_ms = time.time_ns() // 1_000_000
        found = self._view.find(call, now_ms)
        stale = time.monotonic() - self._alive_at > self._stale_after_seconds
        if not found and not stale:
            return ALLOWED
        closed = next((scope for scope in self._closed if selects(scope, call)), None) if stale else None
        return judge(found, self._throttle, now_ms, stale=stale, closed=closed)

    @property
    def stale(self) -> bool:
        """Whether the decider has given no sign of life for too long, or the topic has not been read yet."""
        return time.monotonic() - self._alive_at > self._stale_after_seconds

    def switches(self) -> list[Switch]:
        """Switches in force, shadow ones too, by key."""
        return self._view.switches(time.time_ns() // 1_000_000)

    def status(self) -> Status:
        """How the view stands."""
        silent = time.monotonic() - self._alive_at
        return Status(
            read=self._read.is_set(), connected=self._connected, stale=self.stale,
            silent_seconds=None if silent == float("inf") else round(silent, 3), engaged=len(self.switches()),
            records={outcome.value: count for outcome, count in self._view.counts.items()},
            fault=self._fault or self._view.last_fault,
        )  # fmt: skip

    async def _follow_for_ever(self) -> None:
        tries = 0
        while True:
            try:
                await self._follow()
            except Exception as error:
                # Whatever it is, a gateway goes on with what it knows and tries again.
                tries = 0 if self._connected else tries + 1
                self._disconnected(error)
            await asyncio.sleep(min(BACKOFF_SECONDS_MAX, 0.25 * 2**tries) * random.uniform(0.5, 1))

    async def _follow(self) -> None:
        view = SwitchView()
        alive_at = float("-inf")
        async with contextlib.aclosing(follow(self._topic, self._options)) as chunks:
            async for chunk in chunks:
                for record in chunk.records:
                    if _take(view, record) in _SIGNS_OF_LIFE:
                        alive_at = max(alive_at, _alive_at(record, live=self._connected))
                if not chunk.caught_up:
                    continue
                # Only now: what the log says before its end may have been taken back since.
                self._view = view
                self._alive_at = max(self._alive_at, alive_at)
                if not self._connected:
                    self._caught_up()

    def _caught_up(self) -> None:
        if self._fault:
            log.info("kill switches are known: %d engaged", len(self.switches()))
        self._connected = True
        self._fault = ""
        self._read.set()

    def _disconnected(self, error: Exception) -> None:
        fault = f"{error}" or repr(error)
        if self._connected or self._fault in ("", "not started"):
            log.warning(
                "kill switches cannot be followed, the view gets stale in %g s: %s. Retrying for ever",
                self._stale_after_seconds, fault,
            )  # fmt: skip
        self._connected = False
        self._fault = fault


def _take(view: SwitchView, record: Any) -> Outcome:
    outcome = view.apply(record.key, record.value, record.headers)
    if outcome is Outcome.MALFORMED:
        log.warning("kill switch record at offset %d ignored: %s", record.offset, view.last_fault)
    return outcome


def _alive_at(record: Any, *, live: bool) -> float:
    """When a sign of life was given, on the monotonic clock: live when it came, else when it was written."""
    now = time.monotonic()
    return now if live else now - max(0.0, time.time() - record.timestamp / 1000)
