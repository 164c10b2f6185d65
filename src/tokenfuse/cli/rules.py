"""`tokenfuse rules check | test`: exit 0 fine, 1 found something, 2 could not run."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

DEFAULT_PATH = Path("rules")

RulesPath = Annotated[Path, typer.Argument(help="Directory of rule files.", envvar="TOKENFUSE_RULES_DIR")]
RulesOrTestPath = Annotated[
    Path,
    typer.Argument(help="Directory of rule files, or one _test.yaml file.", envvar="TOKENFUSE_RULES_DIR"),
]


class Output(StrEnum):
    """How results are shown."""

    table = "table"
    json = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="For people or for programs.")]

app = typer.Typer(no_args_is_help=True, help="Check and test rule files.")


def register(parent: typer.Typer) -> None:
    """Adds the verb to the command line."""
    parent.add_typer(app, name="rules")


@app.command()
def check(
    path: RulesPath = DEFAULT_PATH,
    output: OutputOption = Output.table,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as well.")] = False,
) -> None:
    """Load every rule file and lint it: exit 1 on findings, 2 if a file is refused."""
    from tokenfuse.rules.errors import RuleFileError
    from tokenfuse.rules.lint import lint
    from tokenfuse.rules.loader import compile_files, read_files

    try:
        files = read_files(path)
        ruleset = compile_files(files)
    except RuleFileError as error:
        _refuse(error, output)
    issues = lint(files)
    found = [issue for issue in issues if strict or issue.severity == "error"]
    if output is Output.json:
        _print_json({
            "ok": not found, "ruleset": ruleset.id, "files": len(files), "rules": [rule.id for rule in ruleset.rules],
            "problems": [], "issues": [_fields(issue) for issue in issues],
        })  # fmt: skip
    else:
        for issue in issues:
            print(issue)
        print(
            f"{len(files)} files, {len(ruleset.rules)} rules, {len(issues)} findings; rule set {ruleset.id}"
        )
    raise typer.Exit(1 if found else 0)


@app.command("test")
def run_rule_tests(path: RulesOrTestPath = DEFAULT_PATH, output: OutputOption = Output.table) -> None:
    """Run every `*_test.yaml` beside the rules through the real pipeline, without a broker."""
    from tokenfuse.decide.replay import run_events
    from tokenfuse.ingest.call import Call
    from tokenfuse.rules.errors import RuleFileError
    from tokenfuse.rules.ruletest import read_tests, run_tests, test_paths, untested

    root = path if path.is_dir() else path.parent
    try:
        loaded = [read_tests(root, one) for one in (test_paths(path) if path.is_dir() else [path])]
    except RuleFileError as error:
        _refuse(error, output)
    if not loaded:
        _fail(f"no *_test.yaml in {path}: write one beside each rule file", output)
    results = []
    for one in loaded:
        for result in run_tests(one, Call, run_events):
            results.append(result)
            if output is Output.table:
                _show(result)
    failed = [result for result in results if result.failures]
    never = {one.source.path: untested(one) for one in loaded}
    if output is Output.json:
        _print_json({"ok": not failed, "results": [_fields(r) for r in results], "untested": never})
    else:
        for name, rules in never.items():
            if rules:
                print(f"{name}: no test sees these rules fire: {', '.join(rules)}")
        print(f"{len(results)} tests, {len(failed)} failed")
    raise typer.Exit(1 if failed else 0)


def _show(result: Any) -> None:
    print(f"{'FAIL' if result.failures else 'ok  '} {result.path}: {result.name} ({result.calls} calls)")
    for failure in result.failures:
        print(f"     {result.path}:{failure.line}: {failure.message}")


def _refuse(error: Any, output: Output) -> NoReturn:
    """The files are wrong: every mistake with its place, exit 2."""
    if output is Output.json:
        _print_json({"ok": False, "problems": [_fields(problem) for problem in error.problems], "issues": []})
    else:
        typer.echo(str(error), err=True)
        typer.echo(f"{len(error.problems)} mistakes: nothing was loaded", err=True)
    raise typer.Exit(2)


def _fail(message: str, output: Output) -> NoReturn:
    if output is Output.json:
        _print_json({"ok": False, "error": message})
    else:
        typer.echo(message, err=True)
    raise typer.Exit(2)


def _fields(record: Any) -> Any:
    from msgspec import to_builtins

    return to_builtins(record)


def _print_json(record: dict[str, Any]) -> None:
    print(json.dumps(record, ensure_ascii=False))
