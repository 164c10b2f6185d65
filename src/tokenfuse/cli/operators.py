"""Options and words that the operators' verbs share: scopes, durations, who acts, and what an unanswered command means."""

from __future__ import annotations

import getpass
import re
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tokenfuse.cli.common import Output, fail, run_async

if TYPE_CHECKING:
    from tokenfuse.contracts.alert import Alert
    from tokenfuse.contracts.command import Command
    from tokenfuse.contracts.expectation import Expectation
    from tokenfuse.runtime.operators import ExpectationBoard
    from tokenfuse.runtime.settings import Settings

SECOND_MS: Final = 1000
DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")

TenantOption = Annotated[str | None, typer.Option("--tenant", help="Only calls of this tenant.")]
FeatureOption = Annotated[str | None, typer.Option("--feature", help="Only calls of this feature.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Only calls of this model.")]
TemplateOption = Annotated[
    str | None, typer.Option("--prompt-template", "--template", help="Only calls of this prompt template.")
]
UserOption = Annotated[str | None, typer.Option("--user", help="Only calls of this user.")]
RunIdOption = Annotated[str | None, typer.Option("--run-id", help="Only calls of this agent run.")]
AxisOption = Annotated[
    list[str] | None,
    typer.Option("--axis", help="Any other axis as NAME=VALUE, e.g. cost_center=42. Repeatable."),
]
EverythingOption = Annotated[
    bool, typer.Option("--everything", help="All calls of everyone. Needed when no other option narrows it.")
]
TtlOption = Annotated[str, typer.Option("--ttl", help="How long: 90s, 5m, 1h, 7d; at most 31d.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; shown to whoever is refused, and kept.")]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who. Default: your user and this machine's name.")
]


def scope_of(
    axes: Mapping[str, str | None], further: list[str] | None, *, everything: bool
) -> dict[str, str]:
    """The scope that the options name.

    Raises:
        typer.BadParameter: none and not `everything`, or both, or an axis that does not exist.
    """
    scope = {axis: value for axis, value in axes.items() if value is not None}
    for text in further or ():
        axis, equals, value = text.partition("=")
        if not equals or axis in scope:
            raise typer.BadParameter(f"--axis wants NAME=VALUE, each name once, got {text!r}")
        scope[axis] = value
    _check(scope)
    if bool(scope) == everything:
        wrong = "--everything and a narrower scope" if everything else "no scope"
        raise typer.BadParameter(f"{wrong}: name --tenant, --feature, --model, ... or --everything, not both")
    return scope


def _check(scope: Mapping[str, str]) -> None:
    from tokenfuse.contracts.axes import AXES, FURTHER_AXES

    for axis, value in scope.items():
        if axis not in (*AXES, *FURTHER_AXES) and not axis.startswith("labels."):
            known = ", ".join((*AXES, *FURTHER_AXES))
            raise typer.BadParameter(f"no axis {axis!r}: there are {known}, and labels.<name>")
        if not value:
            raise typer.BadParameter(f"{axis} is empty: nothing is counted under an empty value")


def seconds_of(ttl: str) -> int:
    """Seconds of a duration.

    Raises:
        typer.BadParameter: no duration, or outside 1 s to 31 d.
    """
    from tokenfuse.contracts.command import TTL_SECONDS_MAX
    from tokenfuse.rules.units import parse_duration

    try:
        seconds = parse_duration(ttl)
    except ValueError as error:
        raise typer.BadParameter(f"--ttl: {error}") from None
    if not 1 <= seconds <= TTL_SECONDS_MAX:
        raise typer.BadParameter(f"--ttl: from 1s to 31d, got {ttl}")
    return seconds


def moment(option: str, text: str, now_ms: int) -> str:
    """RFC 3339 of a time, of a date (its beginning in UTC), or of a duration from now.

    Raises:
        typer.BadParameter: none of them.
    """
    from tokenfuse.contracts.clock import from_rfc3339, to_rfc3339
    from tokenfuse.rules.units import parse_duration

    try:
        return to_rfc3339(from_rfc3339(f"{text}T00:00:00Z" if DATE.fullmatch(text) else text))
    except ValueError:
        pass
    try:
        return to_rfc3339(now_ms + parse_duration(text) * SECOND_MS)
    except ValueError:
        raise typer.BadParameter(
            f"{option} wants a time with its offset (2026-11-27T18:00:00Z), a date, or a duration, got {text!r}"
        ) from None


def new_command(kind: str, by: str | None, reason: str = "", **fields: Any) -> Command:
    """A command of now, with an id of its own.

    Raises:
        typer.BadParameter: a text is too long.
    """
    import msgspec

    from tokenfuse.contracts.clock import to_rfc3339
    from tokenfuse.contracts.command import Command

    said = {
        "id": uuid.uuid4().hex,
        "kind": kind,
        "at": to_rfc3339(time.time_ns() // 1_000_000),
        "by": by or whoami(),
        "reason": reason,
        **fields,
    }
    try:
        # The constructor checks no bounds; a decider that cannot read the command would only log it.
        return msgspec.convert(said, Command)
    except msgspec.ValidationError as error:
        raise typer.BadParameter(str(error)) from None


def whoami() -> str:
    """User and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "someone"
    return f"{user}@{socket.gethostname()}"


def unconfirmed(command: Command, seconds: float) -> str:
    """What to tell when nothing showed that a command was carried out."""
    return (
        f"sent, but nothing shows within {seconds:g} s that it was carried out. Is a decider running "
        f"(`tokenfuse run --role decider`)? It will act on command {command.id} when it starts; if one runs, its log "
        f"says why it refused"
    )


def find_alert(settings: Settings, fingerprint: str, output: Output) -> Alert:
    """The one alert whose fingerprint begins so; ends the program where there is not exactly one."""
    from tokenfuse.runtime.operators import read_alerts

    board = run_async(settings, partial(read_alerts, settings), output)
    found = [each for each in board.alerts.values() if each.fingerprint.startswith(fingerprint)]
    if len(found) != 1:
        many = ", ".join(sorted(each.fingerprint for each in found)[:5])
        fail(f"{fingerprint} fits several alerts: {many}" if found else f"no alert {fingerprint}", output)
    return found[0]


def expect(
    settings: Settings, command: Command, shows: Callable[[dict[str, Expectation]], bool], output: Output
) -> ExpectationBoard:
    """Send a command and wait until the expectations show its effect; ends the program where they do not."""
    from tokenfuse.runtime.operators import CONFIRM_SECONDS, carry_out

    wait = _Shown(shows)
    if not run_async(settings, partial(carry_out, settings, command, wait), output):
        fail(unconfirmed(command, CONFIRM_SECONDS), output)
    return wait.board


class _Shown:
    """Expectations that show the effect of a command."""

    def __init__(self, shows: Callable[[dict[str, Expectation]], bool]) -> None:
        from tokenfuse.contracts.topics import EXPECTATIONS
        from tokenfuse.runtime.operators import ExpectationBoard

        self.topic = EXPECTATIONS
        self.board = ExpectationBoard()
        self._shows = shows

    def take(self, record: Any) -> None:
        """One record."""
        self.board.take(record)

    def sending(self) -> bool:
        """There is always something that will show."""
        return True

    def done(self) -> bool:
        """Whether it shows."""
        return self._shows(self.board.expectations)


def scope_words(scope: Mapping[str, str]) -> str:
    """A scope in words, as messages say it; long values whole."""
    from tokenfuse.contracts.axes import VALUE_CHARS_MAX
    from tokenfuse.notify.view import scope_text

    return scope_text(dict(scope), VALUE_CHARS_MAX)


def left(expires_at: str, now_ms: int) -> str:
    """How long until a time, as people say it.

    >>> left("2025-11-24T17:00:30Z", 1_764_000_000_000), left("2025-11-24T16:00:00Z", 1_764_000_000_000)
    ('1h 0m', '0s')
    """
    from tokenfuse.contracts.clock import from_rfc3339

    seconds = max(0, (from_rfc3339(expires_at) - now_ms) // SECOND_MS)
    if seconds < 60:
        return f"{seconds}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if days:
        return f"{days}d {hours % 24}h"
    return f"{hours}h {minutes % 60}m" if hours else f"{minutes}m"
