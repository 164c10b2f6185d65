"""What the person sees: spend that moves, alerts as notify prints them, what is happening, and a summary at the end.

On a terminal the spend stays at the bottom while everything else scrolls above it; elsewhere everything is plain lines.
"""

from __future__ import annotations

import io
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.demo.checks import Checklist, Step
from tokenfuse.demo.company import ALL_FEATURES, TENANTS
from tokenfuse.demo.spend import Row, newest_minute_s, rows, spark, usd
from tokenfuse.demo.traffic import RECENT_S
from tokenfuse.notify.terminal import WIDTH_MAX

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tokenfuse.demo.observer import Observer

STRETCHES: Final = 24
"""Bars in a row of the spend: seven and a half minutes each."""

PLAIN_SECONDS: Final = 5.0
"""Without a terminal, spend is a line every so often."""


class Notices(io.StringIO):
    """The file that the terminal notifier prints into: shown above the spend, and remembered.

    Attributes:
        text: everything that was told.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._pending = ""
        self.text = ""

    def write(self, text: str) -> int:
        """Called by rich with parts of a message."""
        self.text += text
        self._pending += text
        return len(text)

    def flush(self) -> None:
        """Called by rich at a message's end."""
        pending, self._pending = self._pending.rstrip("\n"), ""
        if pending:
            self._console.print(Text.from_ansi(pending))


class Screen:
    """Standard output of the demo.

    Attributes:
        notices: for the notify role's console.
    """

    def __init__(self, console: Console, checklist: Checklist) -> None:
        self._console = console
        self._checklist = checklist
        self._observer: Observer | None = None
        self._phase = ""
        self._began = time.monotonic()
        self._plain_at = 0.0
        self._live: Live | None = None
        self.notices = Notices(console)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._bottom,
                console=self._console,
                refresh_per_second=4,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def notice_console(self) -> Console:
        """A console for the notify role: as wide and colourful as this one, into `notices`."""
        return Console(
            file=self.notices,
            width=min(self._console.width, WIDTH_MAX),
            force_terminal=self._console.is_terminal,
            color_system="standard" if self._console.is_terminal else None,
        )

    def watch(self, observer: Observer) -> None:
        """Show what this observer sees from now on."""
        self._observer = observer

    def phase(self, text: str) -> None:
        """What goes on now: the line above the spend."""
        self._phase = text
        self.refresh()

    def say(self, text: str, style: str = "") -> None:
        """A line that stays."""
        self._console.print(Text(f"{time.monotonic() - self._began:5.1f} s  {text}", style=style))

    def refresh(self) -> None:
        """Without a terminal: the spend, if it is due."""
        due = time.monotonic() >= self._plain_at + PLAIN_SECONDS
        if self._live is None and due and self._observer is not None:
            self._plain_at = time.monotonic()
            shown = ", ".join(f"{row.name} {usd(row.total)}" for row in self._rows("tenant", TENANTS))
            self.say(f"spend so far: {shown}")

    def summary(self) -> None:
        """The checks, each with what was seen."""
        table = Table(
            title="What was checked", title_justify="left", title_style="bold", box=None, padding=(0, 1)
        )
        table.add_column(width=2)
        table.add_column(max_width=48)
        table.add_column(overflow="fold")
        for step in Step:
            seen = self._checklist.seen(step)
            mark = Text("✔", style="green") if seen else Text("✘", style="bold red")
            table.add_row(
                mark, Text(step.value), Text(seen.detail if seen else "did not happen", style="dim")
            )
        self._console.print(table)

    def _bottom(self) -> RenderableType:
        seconds = time.monotonic() - self._began
        ticks = Text.assemble(
            *(
                (
                    ("✔" if self._checklist.seen(step) else "·"),
                    "green" if self._checklist.seen(step) else "dim",
                )
                for step in Step
            )
        )
        head = Text.assemble((f"{seconds:5.1f} s  ", "dim"), (self._phase, "bold"), "  ", ticks)
        if self._observer is None:
            return head
        return Group(Text("─" * min(self._console.width, WIDTH_MAX), style="dim"), head, self._spend())

    def _spend(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        grid.add_row(
            _table("tenant", self._rows("tenant", TENANTS), course=False),
            _table("feature", self._rows("feature", ALL_FEATURES), course=True),
        )
        return grid

    def _rows(self, axis: str, names: tuple[str, ...]) -> list[Row]:
        assert self._observer is not None  # noqa: S101 - asked for by the callers
        now_s = newest_minute_s(self._observer)
        return rows(self._observer, axis, names, now_s, STRETCHES, RECENT_S)


def event_clock(observer: Observer) -> str:
    """The newest minute of event time, for people."""
    now_s = newest_minute_s(observer)
    return to_rfc3339(now_s * 1000)[11:16] if now_s else "--:--"


def _table(axis: str, shown: list[Row], *, course: bool) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column(axis)
    table.add_column("in total", justify="right", width=9)
    table.add_column("last hour", justify="right", width=9)
    if course:
        table.add_column(f"last {RECENT_S // 3600} hours", width=STRETCHES, no_wrap=True)
    for row in shown:
        cells = [row.name, usd(row.total), usd(row.last_hour)]
        table.add_row(*cells, *([Text(spark(row.course), style="cyan")] if course else []))
    return table
