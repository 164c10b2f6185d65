"""`tokenfuse alerts feedback | lessons`: what a person says an alert was, and what that has taught so far."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

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


class Said(StrEnum):
    """What an alert was."""

    expected = "expected"
    false_alarm = "false-alarm"


def register(alerts: typer.Typer) -> None:
    """Adds the commands to `tokenfuse alerts`."""
    alerts.command()(feedback)
    alerts.command()(lessons)


def feedback(
    fingerprint: Annotated[str, typer.Argument(help="The alert's fingerprint, or its unique beginning.")],
    said: Annotated[Said, typer.Argument(help="What it was.")],
    note: Annotated[str, typer.Option("--note", "--reason", help="Why; kept and listed.")] = "",
    by: operators.ByOption = None,
    bootstrap_servers: BootstrapServersOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Say that an alert was expected, or a false alarm: its rule learns that for its scope.

    expected: this level is the new normal; the alert ends and does not fire again up to a quarter above it, for 28 days.
    false-alarm: the alert ends, and the bar rises by a quarter of the threshold for 14 days, at most to twice.
    Caps, budgets, limits of agents and rules that enforce a kill switch learn nothing: change the rule.
    """
    settings = broker_settings(bootstrap_servers, output)
    alert = operators.find_alert(settings, fingerprint, output)
    if (refusal := _refusal(alert)) is not None:
        fail(refusal, output)
    command = operators.new_command("feedback", by, note, fingerprint=alert.fingerprint, feedback=said.name)
    before = _generation(settings, alert.fingerprint, output)

    def taught(seen: dict[str, Expectation]) -> bool:
        return alert.fingerprint in seen and seen[alert.fingerprint].generation > before

    lesson = operators.expect(settings, command, taught, output).expectations[alert.fingerprint]
    if output is Output.json:
        print_json({"ok": True, "command": command.id, "lesson": lesson})
        return
    print(f"{alert.rule} on {operators.scope_words(alert.scope)}: {_words(lesson)}, until {lesson.ends_at}")


def lessons(bootstrap_servers: BootstrapServersOption = None, output: OutputOption = Output.table) -> None:
    """Show what feedback has taught and is still in force, by rule and scope."""
    from tokenfuse.runtime.operators import read_expectations

    settings = broker_settings(bootstrap_servers, output)
    board = run_async(settings, partial(read_expectations, settings), output)
    found = sorted(
        (each for each in board.expectations.values() if each.kind == "feedback"),
        key=lambda each: (each.rule or "", each.id),
    )
    if output is Output.json:
        print_json({"ok": True, "lessons": found})
    elif found:
        print_table(("alert", "rule", "scope", "taught", "until", "by", "note"), map(_row, found))
    else:
        print("feedback has taught nothing that is in force")


def _refusal(alert: Alert) -> str | None:
    """What the decider would refuse is said at once, with what to do instead."""
    from tokenfuse.decide.decider.levels import LEARNED

    if alert.kind not in LEARNED:
        return (
            f"{alert.rule} is a limit that somebody set ({alert.kind}); feedback does not soften it. Change the rule "
            f"or its table, or silence the scope with `tokenfuse alerts silence`"
        )
    if alert.enforcement is not None and alert.enforcement.mode == "enforce":
        return (
            f"{alert.rule} enforces a kill switch; feedback does not soften it. Let calls through with "
            f"`tokenfuse killswitch release`, and change the rule"
        )
    return None


def _generation(settings: Settings, fingerprint: str, output: Output) -> int:
    from tokenfuse.runtime.operators import read_expectations

    board = run_async(settings, partial(read_expectations, settings), output)
    known = board.expectations.get(fingerprint)
    return -1 if known is None else known.generation


def _words(lesson: Expectation) -> str:
    """What is in force, in words."""
    parts = [f"{lesson.accepted} is expected"] if lesson.accepted is not None else []
    if lesson.factor > 1:
        parts.append(f"fires above {lesson.factor:g} times its threshold")
    return ", ".join(parts)


def _row(lesson: Expectation) -> tuple[str, ...]:
    return (
        lesson.id, lesson.rule or "-", operators.scope_words(lesson.scope), _words(lesson), lesson.ends_at,
        lesson.by, lesson.reason or "-",
    )  # fmt: skip
