"""Rule tests: `<x>_test.yaml` beside `<x>.yaml` says which traffic fires which alerts, and when (promtool's shape)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tokenfuse.contracts.alert import Alert, Severity
from tokenfuse.contracts.clock import from_rfc3339, to_rfc3339
from tokenfuse.contracts.ruleset import RuleSet
from tokenfuse.rules.errors import Problem, RuleFileError
from tokenfuse.rules.explain import problems
from tokenfuse.rules.loader import TEST_SUFFIX, compile_files, read_files
from tokenfuse.rules.source import Source, read_source
from tokenfuse.rules.traffic import Series, Start, TokenPrices, expand, parse_start
from tokenfuse.rules.units import Duration

C = TypeVar("C")
Run = Callable[[Iterable[C], RuleSet], Sequence[Alert]]
"""The pure pipeline: calls sorted by time and a rule set, to every alert transition in order."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ExpectedAlert(_Strict):
    """One alert that stands at that time; what is left out is not compared."""

    scope: dict[str, str] = Field(description="Axis to value; {} is everything.")
    state: Literal["pending", "firing"] = Field("firing", description="pending or firing.")
    severity: Severity | None = Field(None, description="page, ticket or info.")
    driver: str | None = Field(None, description="The driver that the alert names.")


class Expectation(_Strict):
    """All alerts of one rule that stand at one time: these and no others."""

    at: Duration = Field(description="After the test's start.")
    rule: str = Field(description="Compiled id, e.g. prompt-growth.tenant or monthly-budget@80.")
    alerts: list[ExpectedAlert] = Field(description="Pending and firing ones; [] is none.")


class RuleTest(_Strict):
    """Traffic and what it leads to."""

    name: str = Field(description="A sentence: what the rule does with this traffic.", min_length=1)
    start: Start = Field(default_factory=lambda: parse_start("2026-03-02T00:00:00Z"), description="RFC 3339.")
    traffic: list[Series] = Field(description="Series of calls.", min_length=1)
    expect: list[Expectation] = Field(description="What stands when.", min_length=1)


class RuleTestFile(_Strict):
    """One `<x>_test.yaml`."""

    tests: list[RuleTest] = Field(description="The tests.", min_length=1)


_MODELS: Final = (RuleTestFile, RuleTest, Series, Expectation, ExpectedAlert, TokenPrices)


class Loaded(Struct, frozen=True):
    """A test file, well formed, and the rules of the file beside it."""

    source: Source
    file: RuleTestFile
    ruleset: RuleSet


class Failure(Struct, frozen=True):
    """One expectation that was not met."""

    line: int
    message: str


class Result(Struct, frozen=True):
    """How one test went."""

    path: str
    name: str
    calls: int
    failures: tuple[Failure, ...]


def test_paths(root: Path) -> list[Path]:
    """The test files of a directory, sorted by name."""
    return sorted(root.glob(f"*{TEST_SUFFIX}"))


def read_tests(root: Path, path: Path) -> Loaded:
    """One test file, with the rules of the file that it tests and the settings of all.

    Raises:
        RuleFileError: mistakes in the test file or a rule file, no rule file beside it, or an unknown rule.
    """
    source = read_source(path, path.relative_to(root).as_posix())
    try:
        file = RuleTestFile.model_validate(source.data)
    except ValidationError as error:
        raise RuleFileError(problems(error, source, _MODELS)) from error
    ruleset = _rules_beside(root, path.name.removesuffix(TEST_SUFFIX) + ".yaml")
    unknown = list(_unknown_rules(source, file, {rule.id for rule in ruleset.rules}))
    if unknown:
        raise RuleFileError(unknown)
    return Loaded(source, file, ruleset)


def run_tests(loaded: Loaded, make: Callable[..., C], run: Run[C]) -> Iterator[Result]:
    """Runs every test of a file.

    Args:
        loaded: from `read_tests`.
        make: makes a call, as for `traffic.expand`.
        run: the pure pipeline.
    """
    for index, test in enumerate(loaded.file.tests):
        calls = expand(test.traffic, test.start, test.name, make)
        alerts = run(calls, loaded.ruleset)
        failures = [
            Failure(loaded.source.line(("tests", index, "expect", i)), message)
            for i, expected in enumerate(test.expect)
            if (message := _compare(expected, test.start, alerts)) is not None
        ]
        yield Result(loaded.source.path, test.name, len(calls), tuple(failures))


def untested(loaded: Loaded) -> list[str]:
    """Rules that no expectation of the file sees firing: nothing would notice if they never did."""
    fired = {
        e.rule
        for test in loaded.file.tests
        for e in test.expect
        if any(a.state == "firing" for a in e.alerts)
    }
    return [rule.id for rule in loaded.ruleset.rules if rule.id not in fired]


def _rules_beside(root: Path, name: str) -> RuleSet:
    files = read_files(root)
    beside = [file for file in files if file.source.path == name]
    if not beside:
        raise RuleFileError(
            [Problem(name, 1, "no such rule file: a test stands beside the file that it tests")]
        )
    own = {rule.id for rule in compile_files(beside).rules}
    whole = compile_files(files)
    return replace(whole, rules=tuple(rule for rule in whole.rules if rule.id in own))


def _unknown_rules(source: Source, file: RuleTestFile, known: set[str]) -> Iterator[Problem]:
    for t, test in enumerate(file.tests):
        for e, expected in enumerate(test.expect):
            if expected.rule not in known:
                line = source.line(("tests", t, "expect", e, "rule"))
                yield Problem(
                    source.path, line, f"no rule {expected.rule}: there are {', '.join(sorted(known))}"
                )


def _compare(expected: Expectation, start_ms: int, alerts: Sequence[Alert]) -> str | None:
    """None if exactly the expected alerts stand at that time, else what differs."""
    at_ms = start_ms + expected.at * 1000
    standing = _standing(expected.rule, at_ms, alerts)
    missing = [want for want in expected.alerts if not any(_matches(want, alert) for alert in standing)]
    extra = [alert for alert in standing if not any(_matches(want, alert) for want in expected.alerts)]
    if not missing and not extra:
        return None
    parts = [f"expected {_shown(want.model_dump(exclude_none=True))}" for want in missing]
    parts += [f"did not expect {_shown(_facts(alert))}" for alert in extra]
    history = [
        f"{alert.state} {alert.scope} at {alert.at}" for alert in alerts if alert.rule == expected.rule
    ]
    return f"{expected.rule} at {to_rfc3339(at_ms)}: {'; '.join(parts)}. Its transitions: {', '.join(history) or 'none'}"


def _standing(rule: str, at_ms: int, alerts: Sequence[Alert]) -> list[Alert]:
    """The rule's alerts that are pending or firing at that time: the last transition up to it counts."""
    latest = {a.fingerprint: a for a in alerts if a.rule == rule and from_rfc3339(a.at) <= at_ms}
    return [alert for alert in latest.values() if alert.state != "resolved"]


def _matches(want: ExpectedAlert, alert: Alert) -> bool:
    facts = _facts(alert)
    return all(facts[key] == value for key, value in want.model_dump(exclude_none=True).items())


def _facts(alert: Alert) -> dict[str, Any]:
    return {"scope": alert.scope, "state": alert.state, "severity": alert.severity, "driver": alert.driver}


def _shown(facts: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items())
