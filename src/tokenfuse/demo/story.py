"""The demo from start to end: history, three hours in half a minute, a runaway agent, and what was seen of it.

Every step goes through the broker and the roles of `tokenfuse run`; nothing here decides anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.money import NANO, to_usd
from tokenfuse.demo.checks import Checklist, Step
from tokenfuse.demo.company import CONTRACTS, SUPPORT
from tokenfuse.demo.gateway import ALLOWED, REFUSED, GatewayClient
from tokenfuse.demo.observer import Observer
from tokenfuse.demo.screen import Screen, event_clock
from tokenfuse.demo.source import Source
from tokenfuse.demo.traffic import MISHAPS, RECENT_S, Event, Traffic, runaway
from tokenfuse.gateway import Gateway
from tokenfuse.notify.words import dollars

if TYPE_CHECKING:
    from tokenfuse.contracts.alert import Alert
    from tokenfuse.runtime.settings import Settings

LAPSE_SECONDS: Final = 30.0
"""The last three hours pass in so many seconds: 360 times as fast as the clock."""

STEP_SECONDS: Final = 0.2
AGENT_STEP_SECONDS: Final = 0.15
AGENT_STEPS_MAX: Final = 200
RUN_CAP_NANOUSD: Final = 25 * NANO
"""`run-cap` in rules/caps.yaml."""

LEARN_SECONDS_MAX: Final = 45.0
TOLD_SECONDS_MAX: Final = 15.0
"""Ten seconds of them an alert waits for company."""

SWITCH_SECONDS_MAX: Final = 10.0
EXACT_SECONDS_MAX: Final = 20.0
HELD_BACK: Final = 40
"""Calls of the history that come while it is being learned: a source without calls for 30 s counts as idle."""

HELD_BACK_SECONDS: Final = 4.0


READ_SECONDS: Final = 4.0
"""So long a person looks at the page before letting the run through again."""


class Story:
    """Tells the demo, step by step; what was seen is ticked on the checklist.

    Args:
        observer: already running. screen: already entered.
    """

    def __init__(
        self,
        settings: Settings,
        screen: Screen,
        checklist: Checklist,
        observer: Observer,
        sample: GatewayClient,
    ) -> None:
        self._settings = settings
        self._screen = screen
        self._checklist = checklist
        self._observer = observer
        self._sample = sample
        self._run_id = f"refactor-{os.getpid():x}"

    async def tell(self, traffic: Traffic) -> None:
        """Everything, in order. What does not happen in its time is left unticked, and the story goes on."""
        async with Source(self._settings) as source:
            await self._learn(source, traffic)
            await self._lapse(source, traffic)
            await self._run_away(source, traffic)
            await self._see_alerts()
            await self._release(source)
            await self._compare(source)

    async def _learn(self, source: Source, traffic: Traffic) -> None:
        bulk, held = traffic.history[:-HELD_BACK], iter(traffic.history[-HELD_BACK:])
        total = len(traffic.history)
        self._screen.phase(f"learning two weeks of history: {total:,} calls")
        await source.history(
            bulk,
            lambda done: self._screen.phase(f"publishing two weeks of history: {done:,} of {total:,} calls"),
        )
        next_held = time.monotonic()

        async def learned() -> bool:
            nonlocal next_held
            if time.monotonic() >= next_held:
                next_held = time.monotonic() + HELD_BACK_SECONDS
                await source.history(
                    [call for call, _ in zip(held, range(4), strict=False)], lambda _done: None
                )
            seen = sum(calls for (axis, _), (calls, _) in self._observer.totals().items() if axis == "tenant")
            self._screen.phase(
                f"learning two weeks of history: {seen:,} of {total:,} calls are in the totals"
            )
            return seen >= len(bulk)

        if await self._until(learned, LEARN_SECONDS_MAX):
            await source.history(list(held), lambda _done: None)
            spent = sum(spent for (axis, _), (_, spent) in source.ledger.sums.items() if axis == "tenant")
            detail = f"{total:,} calls, {dollars(to_usd(spent))}"
            self._checklist.tick(Step.LEARNED, detail)
            self._screen.say(f"learned two weeks of five tenants' traffic: {detail}")

    async def _lapse(self, source: Source, traffic: Traffic) -> None:
        """The recent hours in quick motion: event times are real, only the waiting between them is short."""
        hours, speed = RECENT_S // 3600, round(RECENT_S / LAPSE_SECONDS)
        self._screen.say(f"now the last {hours} hours, {speed} times as fast; two things go wrong in them:")
        began, calls, place, mishaps = time.monotonic(), traffic.recent, 0, list(MISHAPS)
        first_ms = calls[0].at_ms
        while place < len(calls):
            passed_s = (time.monotonic() - began) * speed
            until_ms = first_ms + int(passed_s * 1000)
            while mishaps and mishaps[0][0] <= passed_s:
                self._screen.say(
                    f"  {_clock(first_ms + mishaps[0][0] * 1000)} UTC: {mishaps.pop(0)[1]}", "yellow"
                )
            end = next((i for i in range(place, len(calls)) if calls[i].at_ms > until_ms), len(calls))
            await source.live(calls[place:end])
            place = end
            self._screen.phase(f"the last {hours} hours, {speed}x: {event_clock(self._observer)} UTC")
            self._note_alerts()
            await asyncio.sleep(STEP_SECONDS)

    async def _run_away(self, source: Source, traffic: Traffic) -> None:
        self._screen.say(
            f"now, at the speed of the clock: an agent (run {self._run_id}) starts sub-agents without end"
        )
        async with Gateway(
            self._settings.bootstrap_servers or "", topic_prefix=self._settings.topic_prefix
        ) as sdk:
            await sdk.ready(SWITCH_SECONDS_MAX)
            await self._agent(source, sdk, runaway(traffic.runs, self._run_id))

    async def _agent(self, source: Source, sdk: Gateway, calls: Iterator[Event]) -> None:
        """The agent asks its gateway before each call. From the call that breaches on, the sample gateway is asked too."""
        asked: asyncio.Task[None] | None = None
        step = 0
        for step, event in zip(range(1, AGENT_STEPS_MAX), calls, strict=False):
            if not sdk.check(
                run_id=event["run_id"], tenant=event["tenant"], feature=event["feature"]
            ).allowed:
                break
            at_ms = _now_ms()
            began = await source.one({**event, "time": at_ms}, at_ms)
            spent = source.ledger.nanousd("run_id", self._run_id)
            self._screen.phase(
                f"run {self._run_id}: call {step}, {dollars(to_usd(spent))} of its cap of $25.00"
            )
            if spent > RUN_CAP_NANOUSD and asked is None:
                self._screen.say(
                    f"call {step} takes the run to {dollars(to_usd(spent))}: over its cap of $25.00"
                )
                asked = asyncio.create_task(self._ask_until_refused(source, began))
            await asyncio.sleep(AGENT_STEP_SECONDS)
        if asked is not None:
            await asked
            spent = source.ledger.nanousd("run_id", self._run_id)
            self._screen.say(f"the agent stopped at call {step}, at {dollars(to_usd(spent))}")

    async def _ask_until_refused(self, source: Source, began: float) -> None:
        """Ask the sample gateway, which runs in a process of its own, until it refuses the run."""

        async def refused() -> bool:
            status, body = await self._ask(source)
            if status != REFUSED:
                return False
            took = time.monotonic() - began
            reason = body["error"]["reason"]
            self._checklist.tick(
                Step.REFUSED, f"402 {took:.2f} s after the breaching call was appended: {reason}"
            )
            self._screen.say(
                f"GATEWAY REFUSED (402) {took:.2f} s after the breaching call was appended", "bold red"
            )
            self._screen.say(f"  reason: {reason}", "red")
            return True

        await self._until(refused, SWITCH_SECONDS_MAX, pause_seconds=0.02)

    async def _ask(self, source: Source) -> tuple[int, Any]:
        """One request of the run at the sample gateway. What it answers costs money too, so it is in the ledger."""
        axes = {"tenant": "hooli", "feature": "code-agent", "model": "gpt-4o-mini", "run_id": self._run_id}
        status, body = await self._sample.complete(axes)
        if status == ALLOWED:
            usage = body["usage"]
            tokens = {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
            at_ms = _now_ms()
            source.ledger.add({"id": body["id"], "time": at_ms, **axes, **tokens}, at_ms)
        return status, body

    async def _see_alerts(self) -> None:
        self._screen.phase("waiting until everything is told")

        async def all_told() -> bool:
            self._note_alerts()
            return not {Step.PROMPT, Step.CACHE, Step.RUNAWAY, Step.ENGAGED} & set(self._checklist.missing())

        await self._until(all_told, TOLD_SECONDS_MAX)

    def _note_alerts(self) -> None:
        """Tick what fires and was printed by the notify role."""
        self._screen.refresh()
        for alert in self._observer.told():
            step = _step_of(alert, self._run_id)
            if step is not None and alert.fingerprint in self._screen.notices.text:
                self._checklist.tick(step, _told(alert))
        switch = self._observer.switch(_now_ms(), run_id=self._run_id)
        if switch is not None:
            self._checklist.tick(
                Step.ENGAGED, f"{switch.action} until {switch.expires_at}, generation {switch.generation}"
            )

    async def _release(self, source: Source) -> None:
        """With the command that the alert names, as a person would."""
        if self._checklist.seen(Step.REFUSED) is None:
            return
        self._screen.phase("a person reads the page and looks at the run")
        await asyncio.sleep(READ_SECONDS)
        arguments = ["killswitch", "release", "--run-id", self._run_id, "--reason", "demo: reviewed"]
        self._screen.phase("an operator lets the run through again")
        self._screen.say(f"$ tokenfuse {' '.join(arguments[:4])}")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tokenfuse.cli.main", *arguments, "--bootstrap-servers", self._settings.bootstrap_servers or "",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        async with _ended(process):
            answer, _ = await process.communicate()
            self._screen.say(f"  {answer.decode(errors='replace').strip()}")

            async def allowed() -> bool:
                return (await self._ask(source))[0] == ALLOWED

            if process.returncode == 0 and await self._until(allowed, SWITCH_SECONDS_MAX):
                self._checklist.tick(Step.RELEASED, "200 from the sample gateway")

    async def _compare(self, source: Source) -> None:
        self._screen.phase("comparing every total with what was published")

        async def equal() -> bool:
            self._screen.refresh()
            return self._observer.totals() == source.ledger.sums

        if await self._until(equal, EXACT_SECONDS_MAX):
            spent = sum(spent for (axis, _), (_, spent) in source.ledger.sums.items() if axis == "tenant")
            self._checklist.tick(
                Step.EXACT,
                f"{source.ledger.calls():,} calls, ${to_usd(spent)}, {len(source.ledger.sums):,} scopes on 6 axes",
            )
            return
        for difference, _ in zip(source.ledger.differences(self._observer.totals()), range(5), strict=False):
            self._screen.say(difference, "red")

    async def _until(
        self, condition: Callable[[], Any], seconds: float, pause_seconds: float = STEP_SECONDS
    ) -> bool:
        """Ask again and again whether something holds; False: not within the time."""
        deadline = time.monotonic() + seconds
        while not await condition():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(pause_seconds)
        return True


def _step_of(alert: Alert, run_id: str) -> Step | None:
    if alert.kind == "cap" and alert.scope == {"run_id": run_id}:
        return Step.RUNAWAY
    known = {"prompt": (Step.PROMPT, CONTRACTS), "cache": (Step.CACHE, SUPPORT)}
    step, feature = known.get(alert.driver, (None, None))
    if step is None or feature is None or alert.kind != "drift":
        return None
    mine = {
        "tenant": feature.tenant,
        "feature": feature.name,
        "model": feature.model,
        "prompt_template": feature.prompt_template,
    }
    return step if alert.scope.items() <= mine.items() else None


def _told(alert: Alert) -> str:
    scope = ", ".join(alert.scope.values())
    if alert.kind == "cap":
        return f"run {scope}: {dollars(str(alert.value))} of {dollars(str(alert.threshold))}"
    cause = max(alert.drivers, key=lambda part: Decimal(part.usd))
    return f"{scope}: {dollars(alert.excess_usd_per_hour)}/h above normal, {dollars(cause.usd, signed=True)} by {cause.driver}"


def _clock(ms: int) -> str:
    return to_rfc3339(ms)[11:16]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@contextlib.asynccontextmanager
async def _ended(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Whatever happens inside, the process does not outlive it."""
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
