"""`tokenfuse topics create | check`: exit 0 all is as it must be, 1 something is not, 2 could not run."""

from __future__ import annotations

from functools import partial

import typer

from tokenfuse.cli.common import (
    EXIT_FOUND,
    BootstrapServersOption,
    Output,
    OutputOption,
    broker_settings,
    print_json,
    print_table,
    run_async,
)

app = typer.Typer(no_args_is_help=True, help="Make TokenFuse's topics, or compare them with what is needed.")


def register(parent: typer.Typer) -> None:
    """Adds the verb to the command line."""
    parent.add_typer(app, name="topics")


@app.command()
def create(bootstrap_servers: BootstrapServersOption = None, output: OutputOption = Output.table) -> None:
    """Make the topics that are missing. Those that exist are left as they are: see `check`."""
    from tokenfuse.runtime import topics

    settings = broker_settings(bootstrap_servers, output)
    results = run_async(settings, partial(topics.create, settings), output)
    failed = [result for result in results if result.made is topics.Made.FAILED]
    if output is Output.json:
        print_json({"ok": not failed, "topics": results})
    else:
        rows = [(result.topic, result.made, str(result.partitions), result.detail) for result in results]
        print_table(("topic", "what", "partitions", "why"), rows)
    raise typer.Exit(EXIT_FOUND if failed else 0)


@app.command()
def check(bootstrap_servers: BootstrapServersOption = None, output: OutputOption = Output.table) -> None:
    """Compare partitions, replicas and configuration with what is needed; say what to do about each difference."""
    from tokenfuse.runtime import topics

    settings = broker_settings(bootstrap_servers, output)
    findings = run_async(settings, partial(topics.check, settings), output)
    if output is Output.json:
        print_json({"ok": not findings, "findings": findings})
    elif findings:
        rows = [(each.topic, each.problem, each.found, each.wanted, each.advice) for each in findings]
        print_table(("topic", "problem", "found", "wanted", "do"), rows)
    else:
        print(f"{len(topics.wanted(settings))} topics are as they must be")
    raise typer.Exit(EXIT_FOUND if findings else 0)
