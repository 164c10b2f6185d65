"""`tokenfuse killswitch list | engage | release | watch`: exit 0 done, 2 could not be done or not be confirmed.

`list` exits 0 whether or not something is engaged. The decider is the only writer of switches: `engage` and `release`
send it a command and wait until the switch topic, which gateways read, shows the effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tokenfuse.cli import operators
from tokenfuse.cli.common import (
    BootstrapServersOption,
    Output,
    OutputOption,
    broker_settings,
    fail,
    print_json,
    print_table,
    run_async,
)

if TYPE_CHECKING:
    from tokenfuse.contracts.command import Command
    from tokenfuse.contracts.killswitch import Switch
    from tokenfuse.runtime.operators import SwitchBoard
    from tokenfuse.runtime.settings import Settings

AGAIN_SECONDS: Final = 2.0
SILENT_SECONDS: Final = 30.0

app = typer.Typer(no_args_is_help=True, help="See, engage and release kill switches.")


class PersonAction(StrEnum):
    """What a person may do to a scope; `downgrade` needs a model, which only rules name."""

    warn = "warn"
    throttle = "throttle"
    block = "block"


def register(parent: typer.Typer) -> None:
    """Adds the verb to the command line."""
    parent.add_typer(app, name="killswitch")


@app.command("list")
def list_switches(
    bootstrap_servers: BootstrapServersOption = None, output: OutputOption = Output.table
) -> None:
    """Show every switch in force."""
    from tokenfuse.runtime.operators import read_switches

    settings = broker_settings(bootstrap_servers, output)
    board = run_async(settings, partial(read_switches, settings), output)
    now_ms = time.time_ns() // 1_000_000
    switches = board.view.switches(now_ms)
    silent = None if board.alive_ms is None else max(0.0, (now_ms - board.alive_ms) / 1000)
    if output is Output.json:
        print_json({"ok": True, "switches": switches, "decider_silent_seconds": silent})
        return
    _show(switches, now_ms)
    if silent is None or silent > SILENT_SECONDS:
        since = "has never been heard of" if silent is None else f"has been silent for {silent:.0f} s"
        typer.echo(f"the decider {since}: switches are kept, new ones may be missing", err=True)


@app.command()
def engage(
    tenant: operators.TenantOption = None,
    feature: operators.FeatureOption = None,
    model: operators.ModelOption = None,
    template: operators.TemplateOption = None,
    user: operators.UserOption = None,
    run_id: operators.RunIdOption = None,
    axis: operators.AxisOption = None,
    everything: operators.EverythingOption = False,
    action: Annotated[
        PersonAction, typer.Option("--action", help="What happens to calls.")
    ] = PersonAction.block,
    ttl: operators.TtlOption = "1h",
    reason: operators.ReasonOption = "",
    by: operators.ByOption = None,
    bootstrap_servers: BootstrapServersOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Stop, throttle or warn about calls of a scope until the time to live ends or somebody releases it."""
    axes = _axes(tenant, feature, model, template, user, run_id)
    scope = operators.scope_of(axes, axis, everything=everything)
    command = operators.new_command(
        "engage", by, reason, scope=scope, action=action.value, ttl_seconds=operators.seconds_of(ttl)
    )
    settings = broker_settings(bootstrap_servers, output)
    wait = _Confirmation(command)
    began = time.monotonic()
    confirmed = _carry_out(settings, command, wait, output)
    took_ms = round((time.monotonic() - began) * 1000)
    switch = wait.switch()
    words = operators.scope_words(scope)
    if not confirmed and switch is not None:
        fail(
            f"not engaged as asked: {words} is held by {switch.engaged_by} already ({switch.action} until "
            f"{switch.expires_at}), which is as strong or stronger; or no decider runs",
            output,
        )
    if not confirmed or switch is None:
        fail(operators.unconfirmed(command, _confirm_seconds()), output)
    if output is Output.json:
        print_json({"ok": True, "command": command.id, "switch": switch, "confirmed_ms": took_ms})
        return
    print(f"engaged: {switch.action} for {words} until {switch.expires_at}, on the topic after {took_ms} ms")
    if switch.engaged_by != command.by:
        print(f"the switch of {switch.engaged_by} is stronger and stays in front; yours holds beneath it")


@app.command()
def release(
    tenant: operators.TenantOption = None,
    feature: operators.FeatureOption = None,
    model: operators.ModelOption = None,
    template: operators.TemplateOption = None,
    user: operators.UserOption = None,
    run_id: operators.RunIdOption = None,
    axis: operators.AxisOption = None,
    everything: operators.EverythingOption = False,
    reason: operators.ReasonOption = "",
    by: operators.ByOption = None,
    bootstrap_servers: BootstrapServersOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Let calls through again: ends every switch on exactly this scope, whoever engaged it."""
    axes = _axes(tenant, feature, model, template, user, run_id)
    scope = operators.scope_of(axes, axis, everything=everything)
    command = operators.new_command("release", by, reason, scope=scope)
    settings = broker_settings(bootstrap_servers, output)
    wait = _Confirmation(command)
    began = time.monotonic()
    if not _carry_out(settings, command, wait, output):
        fail(operators.unconfirmed(command, _confirm_seconds()), output)
    took_ms = round((time.monotonic() - began) * 1000)
    words = operators.scope_words(scope)
    wider = [
        each
        for each in wait.board.view.switches(time.time_ns() // 1_000_000)
        if each.scope.items() < scope.items()
    ]
    if output is Output.json:
        print_json(
            {"ok": True, "command": command.id, "was": wait.before, "wider": wider, "confirmed_ms": took_ms}
        )
        return
    held = "released" if wait.before is not None else "nothing was engaged on it; released all the same"
    print(f"{words}: {held}, on the topic after {took_ms} ms")
    for each in wider:
        print(f"still held by a wider switch: {each.action} for {operators.scope_words(each.scope)}")


@app.command()
def watch(bootstrap_servers: BootstrapServersOption = None, output: OutputOption = Output.table) -> None:
    """Show every switch in force, then each change as it comes, until Ctrl-C. JSON: one object a line."""
    settings = broker_settings(bootstrap_servers, output)
    with contextlib.suppress(KeyboardInterrupt):
        run_async(settings, partial(_watch, settings, output), output)


class _Confirmation:
    """A newer record of the scope's key."""

    def __init__(self, command: Command) -> None:
        from tokenfuse.contracts.killswitch import switch_key
        from tokenfuse.contracts.scope import scope_key
        from tokenfuse.contracts.topics import KILLSWITCH
        from tokenfuse.runtime.operators import SwitchBoard

        self.topic = KILLSWITCH
        self.board = SwitchBoard()
        self.before: Switch | None = None
        self._scope = dict(command.scope or {})
        self._key = switch_key(scope_key(self._scope))
        self._generation: int | None = None

    def take(self, record: Any) -> object:
        """One record."""
        return self.board.take(record)

    def sending(self) -> bool:
        """Remember what stood there before."""
        self.before = self.switch()
        self._generation = self.board.view.generation(self._key)
        return True

    def done(self) -> bool:
        """Whether the decider has written."""
        return self.board.view.generation(self._key) != self._generation

    def switch(self) -> Switch | None:
        """What is engaged on exactly this scope."""
        engaged = self.board.view.switches(time.time_ns() // 1_000_000)
        return next((each for each in engaged if each.scope == self._scope), None)


def _carry_out(settings: Settings, command: Command, wait: _Confirmation, output: Output) -> bool:
    from tokenfuse.runtime.operators import carry_out

    return run_async(settings, partial(carry_out, settings, command, wait), output)


def _confirm_seconds() -> float:
    from tokenfuse.runtime.operators import CONFIRM_SECONDS

    return CONFIRM_SECONDS


def _axes(
    tenant: str | None, feature: str | None, model: str | None, template: str | None, user: str | None,
    run_id: str | None,
) -> dict[str, str | None]:  # fmt: skip
    return {
        "tenant": tenant, "feature": feature, "model": model, "prompt_template": template, "user": user,
        "run_id": run_id,
    }  # fmt: skip


def _show(switches: list[Switch], now_ms: int) -> None:
    if not switches:
        print("no switch is engaged")
        return
    rows = [
        (
            operators.scope_words(each.scope), each.action, each.mode, each.expires_at,
            operators.left(each.expires_at, now_ms), each.engaged_by, each.reason,
        )
        for each in switches
    ]  # fmt: skip
    print_table(("scope", "action", "mode", "until", "left", "by", "reason"), rows)


async def _watch(settings: Settings, output: Output) -> None:
    from aiokafka.errors import KafkaError

    from tokenfuse.contracts.topics import KILLSWITCH
    from tokenfuse.gateway.reader import ReadAgainError, TopicMissingError, follow
    from tokenfuse.runtime.operators import SwitchBoard, client_options

    while True:
        board, shown = SwitchBoard(), False
        try:
            async with contextlib.aclosing(
                follow(settings.topic(KILLSWITCH), client_options(settings))
            ) as chunks:
                async for chunk in chunks:
                    for record in chunk.records:
                        _tell(board, record, output, live=shown)
                    if chunk.caught_up and not shown:
                        shown = True
                        _first(board, output)
        except TopicMissingError:
            raise
        except (ReadAgainError, KafkaError) as error:
            typer.echo(f"reading again from the beginning: {error}", err=True)
            await asyncio.sleep(AGAIN_SECONDS)


def _first(board: SwitchBoard, output: Output) -> None:
    now_ms = time.time_ns() // 1_000_000
    switches = board.view.switches(now_ms)
    if output is Output.table:
        _show(switches, now_ms)
        return
    for each in switches:
        print_json({"change": "standing", "switch": each})


def _tell(board: SwitchBoard, record: Any, output: Output, *, live: bool) -> None:
    """One line per change, with the time that it took from the decider to here."""
    from tokenfuse.contracts.clock import to_rfc3339
    from tokenfuse.contracts.killswitch import decode_switch
    from tokenfuse.gateway.view import Outcome

    outcome = board.take(record)
    if not live or outcome not in (Outcome.ENGAGED, Outcome.RELEASED, Outcome.MALFORMED):
        return
    now_ms = time.time_ns() // 1_000_000
    latency_ms = max(0, now_ms - record.timestamp)
    switch = decode_switch(record.value) if outcome is Outcome.ENGAGED else None
    key = (record.key or b"").decode(errors="replace")
    if output is Output.json:
        change = {
            "change": outcome,
            "key": key,
            "switch": switch,
            "at": to_rfc3339(now_ms),
            "latency_ms": latency_ms,
        }
        print_json(change)
        return
    what = f"{switch.action} ({switch.mode}) until {switch.expires_at}: {switch.reason}" if switch else ""
    print(f"{to_rfc3339(now_ms)}  {latency_ms:>5} ms  {outcome:<9}  {key}  {what}".rstrip(), flush=True)
