"""What the demo runs on: an embedded broker in a temporary directory, the roles as processes, the shipped rules."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from tokenfuse.demo.checks import Checklist
from tokenfuse.demo.gateway import sample_gateway
from tokenfuse.demo.observer import Observer
from tokenfuse.demo.screen import Screen
from tokenfuse.demo.story import Story
from tokenfuse.demo.traces import packaged
from tokenfuse.demo.traffic import RECENT_S, Traffic
from tokenfuse.runtime import topics
from tokenfuse.runtime.broker import EmbeddedBroker
from tokenfuse.runtime.group import RoleGroup
from tokenfuse.runtime.notify import run_notify
from tokenfuse.runtime.settings import PREFIX, Settings

if TYPE_CHECKING:
    from rich.console import Console

    from tokenfuse.runtime.roles import Role

SECONDS_MAX: Final = 120.0
READY_SECONDS_MAX: Final = 40.0
ROLES: Final[tuple[Role, ...]] = ("ingest", "agents", "decider")
"""As processes. Notify is the same role too, in this process: its messages belong on this screen."""

LOGS: Final = "logs"
SEED: Final = 20251103


class DemoFailedError(RuntimeError):
    """The demo could not get so far as to show anything; the message says why."""


def shipped_rules() -> Path:
    """The rule files of this release: in an installed package, or in the project that it runs from."""
    installed = Path(str(resources.files("tokenfuse") / "_rules"))
    return installed if installed.is_dir() else Path(__file__).resolve().parents[3] / "rules"


async def perform(console: Console, rules_dir: Path) -> Checklist:
    """Run the whole demo; what it started has ended when this returns, however it returns.

    Raises:
        DemoFailedError: something did not start, or ended by itself.
        EmbeddedBrokerError: there is no broker for this machine.
    """
    checklist = Checklist()
    with tempfile.TemporaryDirectory(prefix="tokenfuse-demo-") as directory:
        settings = _settings(Path(directory), rules_dir)
        with Screen(console, checklist) as screen:
            try:
                async with asyncio.timeout(SECONDS_MAX), _stage(settings, screen, checklist) as stage:
                    await stage.tell()
            except TimeoutError:
                screen.say(
                    f"stopped after {SECONDS_MAX:.0f} s: that is as long as a demo may take", "bold red"
                )
        screen.summary()
    return checklist


class Stage:
    """Everything that runs, and the story that is told on it."""

    def __init__(self, story: Story, screen: Screen, background: list[asyncio.Task[None]]) -> None:
        self._story = story
        self._screen = screen
        self._background = background

    async def tell(self) -> None:
        """The story; ends early if a part that it is told on has ended."""
        told = asyncio.create_task(self._tell())
        try:
            await asyncio.wait({told, *self._background}, return_when=asyncio.FIRST_COMPLETED)
            ended = [task for task in self._background if task.done()]
            if ended and not told.done():
                raise DemoFailedError(
                    f"{ended[0].get_name()} ended: {ended[0].exception() or 'nobody asked for it'}"
                )
            await told
        finally:
            told.cancel()

    async def _tell(self) -> None:
        self._screen.phase("preparing two weeks of traffic")
        traffic = await asyncio.to_thread(Traffic, packaged(), time.time_ns() // 1_000_000, SEED)
        await self._story.tell(traffic)


@asynccontextmanager
async def _stage(settings: Settings, screen: Screen, checklist: Checklist) -> AsyncIterator[Stage]:
    """Everything started and ready."""
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        screen.phase("starting the embedded broker")
        broker = await stack.enter_async_context(EmbeddedBroker(settings.state_dir))
        settings = settings.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        await topics.create(settings)
        screen.phase("starting ingest, agents, decider, notify and a sample gateway")
        group, observer = (
            RoleGroup(settings, ROLES, settings.state_dir / LOGS),
            Observer(settings, int(time.time()) - RECENT_S),
        )
        stop, notifies = asyncio.Event(), asyncio.Event()
        background = [
            asyncio.create_task(group.run(stop), name="the group of roles"),
            asyncio.create_task(
                run_notify(settings, stop, partial(_note, notifies), screen.notice_console()), name="notify"
            ),
            asyncio.create_task(observer.run(), name="the observer"),
        ]
        stack.push_async_callback(_stopped, background, stop, screen)
        sample = await stack.enter_async_context(sample_gateway(broker.bootstrap_servers))
        await _ready(group, notifies, settings.state_dir / LOGS)
        screen.watch(observer)
        screen.say(
            f"started in {time.monotonic() - began:.0f} s: broker, ingest, agents, decider, notify, a sample gateway"
        )
        yield Stage(Story(settings, screen, checklist, observer, sample), screen, background)


def _note(event: asyncio.Event, ready: bool) -> None:
    if ready:
        event.set()


async def _ready(group: RoleGroup, notifies: asyncio.Event, logs: Path) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS_MAX):
            while group.readiness.waiting():  # noqa: ASYNC110 - the group asks its children
                await asyncio.sleep(0.1)
            await notifies.wait()
    except TimeoutError:
        waiting = group.readiness.waiting() or ["notify"]
        said = [line for role in waiting for line in _last_lines(logs / f"{role}.log")]
        raise DemoFailedError(
            "\n".join([f"not ready after {READY_SECONDS_MAX:.0f} s: {', '.join(waiting)}", *said])
        ) from None


def _last_lines(log: Path, count: int = 2) -> list[str]:
    return (
        [f"{log.stem}: {line}" for line in log.read_text(errors="replace").splitlines()[-count:]]
        if log.exists()
        else []
    )


async def _stopped(background: list[asyncio.Task[None]], stop: asyncio.Event, screen: Screen) -> None:
    """Roles end in their own order; the observer has nothing to finish."""
    screen.phase("stopping everything")
    stop.set()
    background[-1].cancel()
    await asyncio.gather(*background, return_exceptions=True)


def _settings(directory: Path, rules_dir: Path) -> Settings:
    """The demo's own settings and no others: it must neither touch a real broker nor tell a real channel."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    os.environ |= {f"{PREFIX}ROLLUP_SECONDS": "1", f"{PREFIX}LOG_LEVEL": "warning"}
    os.chdir(directory)  # out of reach of a tokenfuse.yaml
    # The notify role of this process would log between the alerts; what ends it is raised anyway.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger().addHandler(logging.NullHandler())
    return Settings(source_partitions=2, deltas_partitions=2, rules_dir=rules_dir, state_dir=directory)
