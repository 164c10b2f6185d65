"""`tokenfuse`: every verb of the command line. Exit codes: 0 fine, 1 found something, 2 could not run."""

from __future__ import annotations

import importlib
import sys
from typing import Final

VERBS: Final = (
    "demo",
    "run",
    "publish",
    "convert",
    "replay",
    "rules",
    "killswitch",
    "alerts",
    "changes",
    "budgets",
    "notify",
    "topics",
    "schema",
    "doctor",
)
"""Modules of this package, in the order in which help shows them."""

LIGHT: Final = """\
tokenfuse: only the light gateway part is installed; for the command line: pip install 'tokenfuse[service]'
"""


def main() -> None:
    """Entry point of the `tokenfuse` command."""
    try:
        import typer
    except ImportError:
        sys.stderr.write(LIGHT)
        sys.exit(2)
    app = typer.Typer(
        name="tokenfuse",
        help="A fuse for the LLM bill: exact spend windows, drift detection and a kill switch over Kafka.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_group)
    for verb in _wanted(sys.argv[1:]):
        importlib.import_module(f"tokenfuse.cli.{verb}").register(app)
    app()


def _group() -> None:
    """Makes typer ask for the verb by name where only one is registered, too."""


def _wanted(arguments: list[str]) -> tuple[str, ...]:
    """The verb that is called, or all, for help and for what is wrong: a process loads only what it runs."""
    return (arguments[0],) if arguments and arguments[0] in VERBS else VERBS


if __name__ == "__main__":
    main()
