"""`tokenfuse budgets forecast`: exit 0 shown, 1 some budget is or will be exceeded, 2 could not run."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from tokenfuse.cli.replay import load_rules

if TYPE_CHECKING:
    from tokenfuse.decide.budgets import BudgetOutlook

app = typer.Typer(no_args_is_help=True, help="What monthly budgets will come to.")


def register(parent: typer.Typer) -> None:
    """Adds the verb to the command line."""
    parent.add_typer(app, name="budgets")


@app.command()
def forecast(
    rules: Annotated[
        Path | None, typer.Option("--rules", help="Directory of rule files. Default: TOKENFUSE_RULES_DIR.")
    ] = None,
    bootstrap_servers: BootstrapServersOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Show what each month with a budget has cost and will come to at its end, with a range.

    The range holds four ends of five. Exit 1 if a budget is exceeded, or will be even at the lower end.
    """
    from tokenfuse.decide.budgets import axes_of, outlooks
    from tokenfuse.runtime.spend import read_spend

    settings = broker_settings(bootstrap_servers, output)
    ruleset = load_rules(rules or settings.rules_dir, output)
    board = run_async(settings, partial(read_spend, settings, axes_of(ruleset)), output)
    found = outlooks(ruleset, board.hours(), int(time.time()))
    if output is Output.json:
        print_json({"ok": True, "budgets": [_record(each) for each in found]})
    elif found:
        columns = ("scope", "budget", "spent", "month's end", "range", "ends", "")
        print_table(columns, map(_row, found))
    else:
        print("no scope with a monthly budget has spent anything")
    raise typer.Exit(EXIT_FOUND if any(each.judgement in ("over", "will_be_over") for each in found) else 0)


def _record(found: BudgetOutlook) -> dict[str, Any]:
    from tokenfuse.contracts.clock import to_rfc3339
    from tokenfuse.contracts.money import to_usd

    amounts = {
        "budget_usd": found.budget_nanousd, "spent_usd": found.spent_nanousd, "forecast_usd": found.forecast_nanousd,
        "low_usd": found.low_nanousd, "high_usd": found.high_nanousd,
    }  # fmt: skip
    return {
        "axis": found.axis,
        "value": found.value,
        **{name: None if amount is None else to_usd(amount) for name, amount in amounts.items()},
        "ends_at": to_rfc3339(found.ends_s * 1000),
        "judgement": found.judgement,
    }


def _row(found: BudgetOutlook) -> tuple[str, ...]:
    from tokenfuse.cli.operators import scope_words
    from tokenfuse.contracts.clock import to_rfc3339
    from tokenfuse.decide.decider.messages import usd

    point, low, high = found.forecast_nanousd, found.low_nanousd, found.high_nanousd
    known = point is not None and low is not None and high is not None
    scope = {found.axis: found.value} if found.value else {}
    return (
        scope_words(scope), usd(found.budget_nanousd), usd(found.spent_nanousd), usd(point or 0) if known else "-",
        f"{usd(low or 0)} to {usd(high or 0)}" if known else "-", to_rfc3339(found.ends_s * 1000),
        found.judgement.replace("_", " "),
    )  # fmt: skip
