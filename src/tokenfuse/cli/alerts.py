"""`tokenfuse alerts list | ack | silence | unsilence | feedback | lessons`: exit 0 done, 2 could not be done or not be confirmed.

`list` exits 0 whether or not something fires.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tokenfuse.cli import feedback, operators
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
    from tokenfuse.contracts.command import Command
    from tokenfuse.runtime.settings import Settings

STATES: Final = ("firing", "pending", "resolved")
SEVERITIES: Final = ("page", "ticket", "info")

app = typer.Typer(no_args_is_help=True, help="See, acknowledge, silence and judge alerts.")


def register(parent: typer.Typer) -> None:
    """Adds the verb to the command line."""
    parent.add_typer(app, name="alerts")


@app.command("list")
def list_alerts(
    everything: Annotated[
        bool, typer.Option("--all", help="Resolved ones too, as far back as kept.")
    ] = False,
    bootstrap_servers: BootstrapServersOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Show what is firing or pending, the gravest first."""
    from tokenfuse.runtime.operators import read_alerts

    settings = broker_settings(bootstrap_servers, output)
    board = run_async(settings, partial(read_alerts, settings), output)
    alerts = sorted(
        (alert for alert in board.alerts.values() if everything or alert.state != "resolved"), key=_gravity
    )
    if output is Output.json:
        print_json({"ok": True, "alerts": alerts, "unreadable": board.unreadable})
    elif alerts:
        print_table(
            ("alert", "state", "severity", "since", "scope", "so far", "per hour", "note", "summary"),
            map(_row, alerts),
        )
    else:
        print("no alert" if everything else "no alert is active; --all shows resolved ones")
    if board.unreadable:
        typer.echo(f"{board.unreadable} records on the alerts topic could not be read", err=True)


@app.command()
def ack(
    fingerprint: Annotated[str, typer.Argument(help="The alert's fingerprint, or its unique beginning.")],
    by: operators.ByOption = None,
    bootstrap_servers: BootstrapServersOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Say that you look after an alert: it is shown in Slack, and others need not start."""
    settings = broker_settings(bootstrap_servers, output)
    alert = operators.find_alert(settings, fingerprint, output)
    if alert.state == "resolved":
        fail(f"alert {alert.fingerprint} resolved at {alert.at}: nothing to acknowledge", output)
    command = operators.new_command("ack", by, fingerprint=alert.fingerprint)
    wait = _Confirmation(alert.fingerprint.__eq__, lambda a: a.acked_by == command.by)
    _carry_out(settings, command, wait, output)
    _done(f"acknowledged by {command.by}: {alert.summary}", command, output)


@app.command()
def silence(
    tenant: operators.TenantOption = None,
    feature: operators.FeatureOption = None,
    model: operators.ModelOption = None,
    template: operators.TemplateOption = None,
    user: operators.UserOption = None,
    run_id: operators.RunIdOption = None,
    axis: operators.AxisOption = None,
    everything: operators.EverythingOption = False,
    ttl: operators.TtlOption = "1h",
    reason: operators.ReasonOption = "",
    by: operators.ByOption = None,
    bootstrap_servers: BootstrapServersOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Send no notification about a scope for a while. Kill switches engage all the same."""
    axes = {
        "tenant": tenant, "feature": feature, "model": model, "prompt_template": template, "user": user,
        "run_id": run_id,
    }  # fmt: skip
    scope = operators.scope_of(axes, axis, everything=everything)
    command = operators.new_command("silence", by, reason, scope=scope, ttl_seconds=operators.seconds_of(ttl))
    settings = broker_settings(bootstrap_servers, output)
    wait = _Confirmation(None, lambda alert: alert.silenced_until is not None, scope)
    _carry_out(settings, command, wait, output)
    seen = "" if wait.concerned else ". No active alert is inside it, so there is nothing to see yet"
    _done(f"notifications about {operators.scope_words(scope)} are silenced for {ttl}{seen}", command, output)


@app.command()
def unsilence(
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
    """End a silence on exactly this scope."""
    axes = {
        "tenant": tenant, "feature": feature, "model": model, "prompt_template": template, "user": user,
        "run_id": run_id,
    }  # fmt: skip
    scope = operators.scope_of(axes, axis, everything=everything)
    command = operators.new_command("unsilence", by, scope=scope)
    settings = broker_settings(bootstrap_servers, output)
    from tokenfuse.runtime.operators import send

    run_async(settings, partial(send, settings, command), output)
    _done(f"sent: the silence on {operators.scope_words(scope)} ends", command, output)


class _Confirmation:
    """Alerts that show the effect, by a transition that is newer than the command.

    Args:
        named: picks the alert by fingerprint; None: the active ones inside `scope`.
        shows: whether an alert shows the effect.
    """

    def __init__(
        self,
        named: Callable[[str], bool] | None,
        shows: Callable[[Alert], bool],
        scope: dict[str, str] | None = None,
    ) -> None:
        from tokenfuse.contracts.topics import ALERTS
        from tokenfuse.runtime.operators import AlertBoard

        self.topic = ALERTS
        self.concerned: list[str] = []
        self._board = AlertBoard()
        self._named = named
        self._shows = shows
        self._scope = scope or {}

    def take(self, record: Any) -> None:
        """One record."""
        self._board.take(record)

    def sending(self) -> bool:
        """Note which alerts should change."""
        self.concerned = [each.fingerprint for each in self._board.alerts.values() if self._concerns(each)]
        return bool(self.concerned)

    def done(self) -> bool:
        """Whether one of them did; or has ended meanwhile."""
        now = [self._board.alerts.get(fingerprint) for fingerprint in self.concerned]
        return any(each is None or each.state == "resolved" or self._shows(each) for each in now)

    def _concerns(self, alert: Alert) -> bool:
        if alert.state == "resolved":
            return False
        if self._named is not None:
            return self._named(alert.fingerprint)
        return self._scope.items() <= alert.scope.items()


def _carry_out(settings: Settings, command: Command, wait: _Confirmation, output: Output) -> None:
    from tokenfuse.runtime.operators import CONFIRM_SECONDS, carry_out

    if not run_async(settings, partial(carry_out, settings, command, wait), output):
        fail(operators.unconfirmed(command, CONFIRM_SECONDS), output)


def _done(words: str, command: Command, output: Output) -> None:
    if output is Output.json:
        print_json({"ok": True, "command": command.id, "what": words})
    else:
        print(words)


def _gravity(alert: Alert) -> tuple[int, int, str]:
    return STATES.index(alert.state), SEVERITIES.index(alert.severity), alert.starts_at


def _row(alert: Alert) -> tuple[str, ...]:
    from tokenfuse.notify.words import dollars

    return (
        alert.fingerprint, alert.state, alert.severity, alert.starts_at, operators.scope_words(alert.scope),
        dollars(alert.excess_usd), f"{dollars(alert.excess_usd_per_hour)}/h", _note(alert), alert.summary,
    )  # fmt: skip


def _note(alert: Alert) -> str:
    """What else is true of it: the switch, who looks after it, why nobody was told."""
    now_ms = time.time_ns() // 1_000_000
    notes = []
    if alert.enforcement is not None and alert.state != "resolved":
        notes.append(f"{alert.enforcement.action} ({alert.enforcement.mode})")
    if alert.switch_refused is not None:
        notes.append(f"no switch: {alert.switch_refused}")
    if alert.acked_by is not None:
        notes.append(f"ack {alert.acked_by}")
    if alert.inhibited_by is not None:
        notes.append(f"part of {alert.inhibited_by}")
    if alert.held is not None and alert.state == "pending":
        notes.append(f"held back ({alert.held.reason}) until {alert.held.until}")
    if alert.bar_factor is not None:
        notes.append(f"bar x{alert.bar_factor:g}")
    if alert.silenced_until is not None and operators.left(alert.silenced_until, now_ms) != "0s":
        notes.append(f"silenced until {alert.silenced_until}")
    return ", ".join(notes) or "-"


feedback.register(app)  # after its own commands: in this order help shows them
