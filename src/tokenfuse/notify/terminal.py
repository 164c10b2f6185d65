"""Terminal: the same message as Slack's, for those who have no token yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tokenfuse.notify.contract import Delivered
from tokenfuse.notify.selection import is_update
from tokenfuse.notify.view import view

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, RenderableType

    from tokenfuse.contracts.alert import Alert
    from tokenfuse.notify.contract import DeliveryRecord, Outcome
    from tokenfuse.notify.view import AlertView

UPDATE_SECONDS_MIN: Final = 30.0
WIDTH_MAX: Final = 100

_STYLE: Final = {"page": "red", "ticket": "yellow", "info": "blue"}


class TerminalNotifier:
    """A rich console. It cannot edit what it printed, so an update is one line."""

    name = "terminal"
    severities = frozenset({"page", "ticket", "info"})
    update_seconds_min: float | None = UPDATE_SECONDS_MIN

    def __init__(self, console: Console) -> None:
        self._console = console

    async def send(self, incident: Alert, earlier: DeliveryRecord | None) -> Outcome:
        """Print the incident: a panel when it begins, ends or is acknowledged, a line when it grows."""
        line = is_update(incident, earlier) or incident.severity == "info"
        self._console.print(Text(view(incident).line) if line else alert_panel(incident))
        return Delivered(reference="printed")

    async def close(self) -> None:
        """The console belongs to the caller."""


def alert_panel(alert: Alert) -> RenderableType:
    """An alert as a panel of at most 100 columns, in the order of Slack's message."""
    shown = view(alert)
    colour = "green" if shown.resolved else _STYLE.get(alert.severity, "yellow")
    return Panel(
        Group(Text(f"{shown.mark} {shown.title}", style=f"bold {colour}"), *_parts(shown)),
        border_style=colour,
        width=WIDTH_MAX,
        padding=(0, 1),
    )


def _parts(shown: AlertView) -> Iterable[RenderableType]:
    yield Text(shown.summary)
    yield Padding(_facts(shown), (1, 0))
    yield from _listed("Why, in dollars", _why(shown))
    yield from _listed("Who", shown.who)
    yield from _listed("What was done", (shown.done,))
    yield from _listed("What to do", _todo(shown))
    if shown.examples:
        yield Text("Example events: " + " ".join(shown.examples), style="dim")
    yield Text(shown.footer, style="dim")


def _why(shown: AlertView) -> tuple[str, ...]:
    """The change, and its parts below it."""
    return (shown.change, *(f"  {part}" for part in shown.why)) if shown.change else shown.why


def _facts(shown: AlertView) -> Table:
    table = Table.grid(padding=(0, 2))
    for label, value in shown.facts:
        table.add_row(Text(label, style="dim"), Text(value))
    return table


def _todo(shown: AlertView) -> tuple[str, ...]:
    runbook = (f"Read the runbook: {shown.runbook}",) if shown.runbook else ()
    return (*runbook, *(f"{label}: {command}" for label, command in shown.commands))


def _listed(title: str, lines: Iterable[str]) -> Iterable[RenderableType]:
    rows = tuple(lines)
    if rows:
        yield Text(title, style="bold")
        yield from (Padding(Text(row), (0, 0, 0, 2)) for row in rows)
