"""`tokenfuse notify test`: exit 0 every receiver has it, 1 one has not, 2 could not run."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from typing import TYPE_CHECKING

import msgspec
import typer

from tokenfuse.cli.common import EXIT_FOUND, Output, OutputOption, fail, load_settings, print_json

if TYPE_CHECKING:
    from tokenfuse.notify.trial import TrialResult
    from tokenfuse.runtime.settings import Settings

TRIES_MAX = 3


app = typer.Typer(no_args_is_help=True, help="Try the receivers of alerts.")


def register(parent: typer.Typer) -> None:
    """Adds the verb to the command line."""
    parent.add_typer(app, name="notify")


@app.callback()
def _notify() -> None:
    """Try the receivers of alerts."""


@app.command("test")
def send_test(output: OutputOption = Output.table) -> None:
    """Send a test alert through every configured receiver, and resolve it at once. PagerDuty pages for it."""
    _log_to_stderr()
    settings = load_settings(output)
    try:
        results = asyncio.run(_try_all(settings))
    except ValueError as error:
        fail(str(error), output)
    ok = all(result.delivered for result in results)
    if output is Output.json:
        print_json({"ok": ok, "receivers": msgspec.to_builtins(results)})
    else:
        for result in results:
            print(_line(result))
        for hint in _hints(settings):
            typer.echo(hint, err=True)
    raise typer.Exit(0 if ok else EXIT_FOUND)


async def _try_all(settings: Settings) -> list[TrialResult]:
    """Every receiver at the same time: one that hangs holds up no other."""
    from tokenfuse.notify.retry import RetryPolicy
    from tokenfuse.notify.trial import trial, trial_alert
    from tokenfuse.runtime.notify import configured, stderr_console

    notifiers = configured(settings, stderr_console())
    alert = trial_alert(time.time_ns() // 1_000_000)
    policy = RetryPolicy(tries_max=TRIES_MAX)
    try:
        return await asyncio.gather(*(trial(each, alert, policy, random.Random()) for each in notifiers))
    finally:
        for each in notifiers:
            await each.close()


def _line(result: TrialResult) -> str:
    if result.delivered:
        return f"ok    {result.receiver}: the test alert was opened and resolved"
    return f"FAIL  {result.receiver}: {result.reason}: {result.detail}"


def _hints(settings: Settings) -> list[str]:
    """What is not configured: a receiver that nobody set up fails no test."""
    hints = []
    if settings.slack_bot_token is None:
        hints.append(
            "slack is not set up, alerts go to the terminal: set TOKENFUSE_SLACK_BOT_TOKEN and _SLACK_CHANNEL"
        )
    if settings.pagerduty_routing_key is None:
        hints.append("pagerduty is not set up: set TOKENFUSE_PAGERDUTY_ROUTING_KEY")
    return hints


def _log_to_stderr() -> None:
    """Warnings of a receiver belong beside the result, not into it."""
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
