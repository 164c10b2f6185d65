"""`tokenfuse rules backtest`: what rules would have found in past events, and what that would have saved."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenfuse.cli.common import Output, OutputOption, fail, load_settings, print_json, print_table
from tokenfuse.cli.replay import lines_of, load_rules, progress

if TYPE_CHECKING:
    from tokenfuse.backtest.judge import Judged
    from tokenfuse.runtime.backtest import Replayed


def register(parent: typer.Typer) -> None:
    """Adds the verb below `rules`."""
    parent.command("backtest")(backtest)


def backtest(
    events: Annotated[
        list[str],
        typer.Option("--events", help="Past events, oldest first: what `replay` reads. Repeatable."),
    ],
    rules: Annotated[
        Path | None, typer.Option("--rules", help="Rule files; default: the settings' rules.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Directory for backtest.json, scope.html and the replays' files.")
    ] = Path("backtest"),
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="AXIS=VALUE of the picture, repeatable. Default: where most was saved."),
    ] = None,
    counterfactual: Annotated[
        list[str] | None,
        typer.Option(
            "--counterfactual", help="The same events without incidents: for exact figures. Repeatable."
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Count alerts from this time on (RFC 3339); events before only teach."),
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Replay past events: how often each rule would have told somebody, what acting would have saved, how often for nothing."""
    from tokenfuse.backtest.judge import by_rule
    from tokenfuse.backtest.record import result
    from tokenfuse.contracts.clock import from_rfc3339
    from tokenfuse.runtime.backtest import judged

    wanted, since_ms = _scope(scope), _since(since)
    settings = load_settings(output)
    ruleset = load_rules(rules or settings.rules_dir, output)
    run = _replayed(events, ruleset, out / "run", settings.further_axes, output)
    other = None
    if counterfactual:
        other = _replayed(counterfactual, ruleset, out / "counterfactual", settings.further_axes, output)
    found = judged(run, other, ruleset, since_ms)
    twins = None if other is None else [each for each in other.episodes if each.told_ms >= since_ms]
    from_ms, to_ms = max(run.spend.first_s * 1000, since_ms), from_rfc3339(run.summary["last_time"])
    if from_ms >= to_ms:
        fail(f"--since {since}: no event is newer", output)
    record = result(
        by_rule(ruleset.rules, found, twins), found, from_ms, to_ms, counterfactual=other is not None
    )
    shown = wanted if wanted is not None else _dearest(found)
    record["picture"] = {"scope": shown, "file": str(out / "scope.html")}
    _write(out, record, run, shown, output)
    if output is Output.json:
        print_json(record)
    else:
        _print(record, out)


def _scope(texts: list[str] | None) -> dict[str, str] | None:
    from tokenfuse.cli.operators import scope_of

    return None if not texts else scope_of({}, texts, everything=False)


def _since(text: str | None) -> int:
    from tokenfuse.contracts.clock import from_rfc3339

    try:
        return 0 if text is None else from_rfc3339(text)
    except ValueError:
        raise typer.BadParameter(
            f"--since wants a time with an offset, e.g. 2026-03-02T00:00:00Z, got {text!r}"
        ) from None


def _replayed(
    files: list[str], ruleset: Any, out: Path, further_axes: tuple[str, ...], output: Output
) -> Replayed:
    from tokenfuse.cli.lines import UnreadableFileError
    from tokenfuse.runtime.backtest import NoEventsError, replayed

    try:
        return replayed(lines_of(files), ruleset, out, further_axes, progress(f"{out.name}: "))
    except UnreadableFileError as error:
        fail(str(error), output)
    except NoEventsError:
        fail(f"no events in {', '.join(files)}: {out / 'deadletter.jsonl'} says what was refused", output)
    except OSError as error:
        fail(f"{error.filename or out}: {error.strerror or error}", output)
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")


def _dearest(found: Sequence[Judged]) -> dict[str, str]:
    """Scope of the alert that would have saved most; everything if there is none."""
    best = max(found, key=lambda each: each.saved_nanousd or 0, default=None)
    return {} if best is None else dict(best.episode.scope)


def _write(out: Path, record: dict[str, Any], run: Replayed, scope: dict[str, str], output: Output) -> None:
    import msgspec

    from tokenfuse.backtest.chart import hours, page, span
    from tokenfuse.notify.view import scope_text
    from tokenfuse.runtime.backtest import past_of

    past = past_of(run, scope)
    if not len(past.spend.pane_s):
        fail(f"--scope {scope_text(scope)}: no event has it, or no rule asks for its axis", output)
    mine = [each for each in run.episodes if dict(each.scope) == scope]
    picture = hours(past, *span(mine, run.spend.first_s, run.spend.last_s))
    try:
        (out / "scope.html").write_text(page(scope_text(scope), mine, picture), encoding="utf-8")
        (out / "backtest.json").write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    except OSError as error:
        fail(f"{error.filename or out}: {error.strerror or error}", output)


def _print(record: dict[str, Any], out: Path) -> None:
    from tokenfuse.notify.view import scope_text

    columns = ("rule", "severity", "pages/week", "tickets/week", "would have saved", "false/week")
    print_table(columns, [_row(rule) for rule in record["rules"] if rule["alerts"] or rule["false_alarms"]])
    quiet = sum(not rule["alerts"] for rule in record["rules"])
    print(f"{quiet} of {len(record['rules'])} rules told nobody anything")
    print(f"from {record['from']} to {record['to']}, {record['weeks']:.1f} weeks")
    print(f"saved: {record['saved']}; one incident may have alerts of several rules")
    print(f"false: {record['false_alarms']}")
    print(
        f"{out / 'backtest.json'}: every alert; {out / 'scope.html'}: {scope_text(record['picture']['scope'])}"
    )


def _row(rule: dict[str, Any]) -> tuple[str, ...]:
    from decimal import Decimal

    unknown = rule["alerts_without_figure"]
    saved = f"${Decimal(rule['saved_usd']):,.2f}" + (f" ({unknown} unknown)" if unknown else "")
    false = f"{rule['false_alarms_per_week']:.2f}"
    if rule["judged"] is not None:
        false = f"~{false} ({rule['false_alarms']} of {rule['judged']})" if rule["judged"] else "not judged"
    return (
        rule["rule"], rule["severity"], f"{rule['pages_per_week']:.2f}", f"{rule['tickets_per_week']:.2f}", saved, false,
    )  # fmt: skip
