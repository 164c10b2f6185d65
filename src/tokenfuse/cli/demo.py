"""`tokenfuse demo`: the main job on the embedded broker, in about a minute. Exit 0 every step was seen, 1 one was not, 2 could not run."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from tokenfuse.cli.common import EXIT_FOUND, fail

INTERRUPTED = 130
"""As shells say it: 128 and SIGINT."""


def register(parent: typer.Typer) -> None:
    """Adds the verb to the command line."""
    parent.command("demo")(demo)


def demo(
    rules: Annotated[
        Path | None, typer.Option("--rules", help="Rule files; default: the shipped ones.")
    ] = None,
) -> None:
    """Show TokenFuse at work: a small company's spending, two drifts, a runaway agent, and what is done about them."""
    from rich.console import Console

    from tokenfuse.demo.checks import Checklist
    from tokenfuse.demo.stage import DemoFailedError, perform, shipped_rules
    from tokenfuse.notify.terminal import WIDTH_MAX
    from tokenfuse.rules.errors import RuleFileError
    from tokenfuse.rules.loader import load
    from tokenfuse.runtime.broker import EmbeddedBrokerError

    rules_dir = (rules or shipped_rules()).absolute()
    # Where nobody looks (a file, a pipe) lines are as wide as on the terminal that they will be read on.
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_MAX)
    try:
        load(rules_dir)
        checklist: Checklist = asyncio.run(perform(console, rules_dir))
    except RuleFileError as error:
        fail(str(error))
    except (DemoFailedError, EmbeddedBrokerError) as error:
        fail(f"the demo could not run: {error}")
    except KeyboardInterrupt:
        typer.echo("stopped; nothing is left running", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if missing := checklist.missing():
        typer.echo("did not happen: " + "; ".join(step.value for step in missing), err=True)
        raise typer.Exit(EXIT_FOUND)
