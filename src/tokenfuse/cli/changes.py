"""`tokenfuse changes announce | list | cancel`: exit 0 done, 2 could not be done or not be confirmed.

A planned change holds fire of learned rules in a scope while what is seen stays within a factor of the usual.
"""

from __future__ import annotations

import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

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
    from tokenfuse.contracts.alert import Alert
    from tokenfuse.contracts.expectation import Expectation
    from tokenfuse.runtime.settings import Settings

ID_DIGITS: Final = 8

app = typer.Typer(no_args_is_help=True, help="Announce launches and maintenance, so that they page nobody.")


def register(parent: typer.Typer) -> None:
    """Adds the verb to the command line."""
    parent.add_typer(app, name="changes")


@app.command()
def announce(
    until: Annotated[
        str,
        typer.Option("--until", help="When it is over: 2026-11-27T18:00:00Z, 2026-11-27, or 3d from now."),
    ],
    reason: Annotated[str, typer.Option("--reason", help="What is planned; shown on what it holds back.")],
    start: Annotated[str, typer.Option("--from", help="When it begins, likewise. Default: now.")] = "0s",
    factor: Annotated[
        float, typer.Option("--factor", help="Up to how many times the usual is expected, 1 to 100.")
    ] = 3.0,
    tenant: operators.TenantOption = None,
    feature: operators.FeatureOption = None,
    model: operators.ModelOption = None,
    template: operators.TemplateOption = None,
    user: operators.UserOption = None,
    run_id: operators.RunIdOption = None,
    axis: operators.AxisOption = None,
    everything: operators.EverythingOption = False,
    by: operators.ByOption = None,
    bootstrap_servers: BootstrapServersOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Hold fire in a scope until a time, while it stays within a factor of the usual.

    Drift, volume, spikes and bursts keep quiet. Caps, budgets, limits of agents and rules that enforce a kill switch do
    not.
    """
    axes = {
        "tenant": tenant, "feature": feature, "model": model, "prompt_template": template, "user": user,
        "run_id": run_id,
    }  # fmt: skip
    scope = operators.scope_of(axes, axis, everything=everything)
    now_ms = time.time_ns() // 1_000_000
    starts_at, ends_at = operators.moment("--from", start, now_ms), operators.moment("--until", until, now_ms)
    _check_window(starts_at, ends_at, now_ms)
    command = operators.new_command(
        "announce", by, reason, id=f"change-{uuid.uuid4().hex[:ID_DIGITS]}", scope=scope, factor=factor,
        starts_at=starts_at, ends_at=ends_at,
    )  # fmt: skip
    settings = broker_settings(bootstrap_servers, output)
    board = operators.expect(settings, command, lambda seen: command.id in seen, output)
    change = board.expectations[command.id]
    if output is Output.json:
        print_json({"ok": True, "command": command.id, "change": change})
        return
    print(
        f"announced as {change.id}: up to {change.factor:g} times the usual for {operators.scope_words(scope)} from "
        f"{change.starts_at} until {change.ends_at}"
    )


@app.command("list")
def list_changes(
    bootstrap_servers: BootstrapServersOption = None, output: OutputOption = Output.table
) -> None:
    """Show what is planned and what goes on, with the alerts that each holds back."""
    from tokenfuse.runtime.operators import read_alerts

    settings = broker_settings(bootstrap_servers, output)
    changes = _changes(settings, output)
    alerts = run_async(settings, partial(read_alerts, settings), output).alerts.values()
    held = {change.id: [each for each in alerts if _is_held_by(each, change)] for change in changes}
    if output is Output.json:
        print_json({"ok": True, "changes": changes, "held": held})
    elif changes:
        rows = (_row(change, len(held[change.id])) for change in changes)
        print_table(("change", "scope", "up to", "from", "until", "holds back", "by", "reason"), rows)
    else:
        print("no change is planned")


@app.command()
def cancel(
    change: Annotated[str, typer.Argument(help="Id of the change, or its unique beginning.")],
    by: operators.ByOption = None,
    bootstrap_servers: BootstrapServersOption = None,
    output: OutputOption = Output.table,
) -> None:
    """End a planned change now; what it held back fires if it still stands."""
    settings = broker_settings(bootstrap_servers, output)
    found = [each for each in _changes(settings, output) if each.id.startswith(change)]
    if len(found) != 1:
        many = ", ".join(each.id for each in found[:5])
        fail(f"{change} fits several changes: {many}" if found else f"no change {change}", output)
    command = operators.new_command("cancel", by, change=found[0].id)
    operators.expect(settings, command, lambda seen: found[0].id not in seen, output)
    if output is Output.json:
        print_json({"ok": True, "command": command.id, "change": found[0]})
        return
    print(f"cancelled: {found[0].id} for {operators.scope_words(found[0].scope)}")


def _check_window(starts_at: str, ends_at: str, now_ms: int) -> None:
    """What the decider would refuse is said at once."""
    from tokenfuse.contracts.clock import from_rfc3339
    from tokenfuse.contracts.command import TTL_SECONDS_MAX

    starts_ms, ends_ms, most_ms = from_rfc3339(starts_at), from_rfc3339(ends_at), TTL_SECONDS_MAX * 1000
    if ends_ms <= max(starts_ms, now_ms):
        raise typer.BadParameter(f"--until {ends_at} is not after --from {starts_at} and now")
    if ends_ms - starts_ms > most_ms or starts_ms > now_ms + most_ms:
        raise typer.BadParameter("a change begins within 31 days and lasts at most 31 days")


def _changes(settings: Settings, output: Output) -> list[Expectation]:
    """Planned changes, the one that ends first in front."""
    from tokenfuse.runtime.operators import read_expectations

    board = run_async(settings, partial(read_expectations, settings), output)
    found = [each for each in board.expectations.values() if each.kind == "change"]
    return sorted(found, key=lambda each: (each.ends_at, each.id))


def _is_held_by(alert: Alert, change: Expectation) -> bool:
    return alert.state == "pending" and alert.held is not None and alert.held.change == change.id


def _row(change: Expectation, held: int) -> tuple[str, ...]:
    return (
        change.id, operators.scope_words(change.scope), f"{change.factor:g}x", change.starts_at, change.ends_at,
        f"{held} alerts", change.by, change.reason or "-",
    )  # fmt: skip
