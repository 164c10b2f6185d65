"""`tokenfuse rules check | test | backtest`: exit 0 fine, 1 found something, 2 could not run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from tokenfuse.cli import backtest
from tokenfuse.cli.common import (
    EXIT_COULD_NOT_RUN,
    EXIT_FOUND,
    Output,
    OutputOption,
    fail,
    load_settings,
    print_json,
)

if TYPE_CHECKING:
    from tokenfuse.rules.errors import RuleFileError
    from tokenfuse.rules.lint import LintIssue
    from tokenfuse.rules.ruletest import Loaded, Result

RulesPath = Annotated[
    Path | None, typer.Argument(help="Directory of rule files. Default: TOKENFUSE_RULES_DIR.")
]
RulesOrTestPath = Annotated[
    Path | None,
    typer.Argument(help="Directory of rule files, or one _test.yaml. Default: TOKENFUSE_RULES_DIR."),
]


app = typer.Typer(no_args_is_help=True, help="Check rule files, test them, and try them on past events.")


def register(parent: typer.Typer) -> None:
    """Adds the verb to the command line."""
    backtest.register(app)
    parent.add_typer(app, name="rules")


@app.command()
def check(
    path: RulesPath = None,
    output: OutputOption = Output.table,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as well.")] = False,
) -> None:
    """Load every rule file and lint it: exit 1 on findings, 2 if a file is refused."""
    from tokenfuse.rules.errors import RuleFileError
    from tokenfuse.rules.lint import lint
    from tokenfuse.rules.loader import compile_files, read_files

    try:
        settings = load_settings(output)
        files = read_files(path or settings.rules_dir)
        ruleset = compile_files(files)
    except RuleFileError as error:
        _refuse(error, output)
    issues = lint(files, settings.further_axes)
    found = [issue for issue in issues if strict or issue.severity == "error"]
    if output is Output.json:
        rules = [rule.id for rule in ruleset.rules]
        print_json({"ok": not found, "ruleset": ruleset.id, "rules": rules, "problems": [], "issues": issues})
    else:
        _show_issues(issues)
        print(
            f"{len(files)} files, {len(ruleset.rules)} rules, {len(issues)} findings; rule set {ruleset.id}"
        )
    raise typer.Exit(EXIT_FOUND if found else 0)


@app.command("test")
def run_rule_tests(path: RulesOrTestPath = None, output: OutputOption = Output.table) -> None:
    """Run every `*_test.yaml` beside the rules through the real pipeline, without a broker."""
    from tokenfuse.ingest.call import Call
    from tokenfuse.rules.ruletest import run_tests, untested
    from tokenfuse.runtime.pipeline import run_events

    loaded = _read_tests(path or load_settings(output).rules_dir, output)
    results: list[Result] = []
    for one in loaded:
        for result in run_tests(one, Call, run_events):
            results.append(result)
            if output is Output.table:
                _show_result(result)
    failed = [result for result in results if result.failures]
    never = {one.source.path: untested(one) for one in loaded}
    if output is Output.json:
        print_json({"ok": not failed, "results": results, "untested": never})
    else:
        for name, rules in never.items():
            if rules:
                print(f"{name}: no test sees these rules fire: {', '.join(rules)}")
        print(f"{len(results)} tests, {len(failed)} failed")
    raise typer.Exit(EXIT_FOUND if failed else 0)


def _read_tests(path: Path, output: Output) -> list[Loaded]:
    from tokenfuse.rules.errors import RuleFileError
    from tokenfuse.rules.ruletest import read_tests, test_paths

    root, paths = (path, test_paths(path)) if path.is_dir() else (path.parent, [path])
    if not paths:
        fail(f"no *_test.yaml in {path}: write one beside each rule file", output)
    try:
        return [read_tests(root, one) for one in paths]
    except RuleFileError as error:
        _refuse(error, output)


def _show_issues(issues: list[LintIssue]) -> None:
    for issue in issues:
        print(issue)


def _show_result(result: Result) -> None:
    mark = "FAIL" if result.failures else "ok  "
    print(f"{mark} {result.path}: {result.name} ({result.calls} calls)", flush=True)
    for failure in result.failures:
        print(f"     {result.path}:{failure.line}: {failure.message}")


def _refuse(error: RuleFileError, output: Output) -> NoReturn:
    """The files are wrong: every mistake with its place, exit 2."""
    if output is Output.json:
        print_json({"ok": False, "error": str(error), "problems": error.problems, "issues": []})
    typer.echo(str(error), err=True)
    typer.echo(f"{len(error.problems)} found: nothing was loaded", err=True)
    raise typer.Exit(EXIT_COULD_NOT_RUN)
