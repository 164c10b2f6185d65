"""Lint: rules that load but will disappoint. Each finding has a code, a severity and its place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from enum import StrEnum
from typing import Final, Literal

from msgspec import Struct

from tokenfuse.contracts.axes import AXES, GLOBAL, JOINT
from tokenfuse.rules.kinds.base import RuleSpec
from tokenfuse.rules.kinds.cap import CapSpec
from tokenfuse.rules.kinds.spike import SpikeSpec
from tokenfuse.rules.loader import TEST_SUFFIX, LoadedFile


class Code(StrEnum):
    """What lint finds; each is explained in docs/rules.md."""

    ENFORCE_WITHOUT_RESPONSE = "enforce-without-response"
    WARN_WITH_RESPONSE = "warn-with-response"
    SANDBOX_PAGES = "sandbox-pages"
    SANDBOX_ENFORCES = "sandbox-enforces"
    PAGE_WITHOUT_RUNBOOK = "page-without-runbook"
    CAP_WITHOUT_RUNBOOK = "cap-without-runbook"
    RULE_WITHOUT_TITLE = "rule-without-title"
    FILE_WITHOUT_TEST = "file-without-test"
    SPIKE_WITHOUT_FLOOR = "spike-without-floor"
    AXIS_WITHOUT_SCOPES = "axis-without-scopes"


LintSeverity = Literal["error", "warning"]


class LintIssue(Struct, frozen=True, order=True):
    """One finding. An error makes `rules check` exit 1, a warning only with --strict."""

    path: str
    line: int
    code: Code
    severity: LintSeverity
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.severity} {self.code}: {self.message}"


def lint(files: Iterable[LoadedFile], further_axes: Collection[str]) -> list[LintIssue]:
    """Every finding in these files, sorted by place.

    Args:
        further_axes: those of the installation: rules on others have no scopes to judge.
    """
    return sorted(
        issue
        for file in files
        for issue in (*_lint_rules(file), *_lint_axes(file, further_axes), *_lint_file(file))
    )


def without_scopes(axis: str, further_axes: Collection[str]) -> bool:
    """Whether no scope on this axis will ever exist, so that a rule on it judges nothing."""
    return not set(axis.split(JOINT)) <= {*AXES, GLOBAL, *further_axes}


def _lint_axes(file: LoadedFile, further_axes: Collection[str]) -> Iterator[LintIssue]:
    for index, spec in enumerate(file.file.rules):
        axes = [spec.axis] if isinstance(spec.axis, str) else spec.axis
        for axis in axes:
            if without_scopes(axis, further_axes):
                text = f"{spec.id}: judges nothing: {axis} is none of TOKENFUSE_FURTHER_AXES, which all roles must name"
                line = file.line(index, "axis")
                yield LintIssue(file.source.path, line, Code.AXIS_WITHOUT_SCOPES, "warning", spec.id, text)


def _lint_file(file: LoadedFile) -> Iterator[LintIssue]:
    test = file.root / (file.source.path.removesuffix(".yaml") + TEST_SUFFIX)
    if file.file.rules and not test.is_file():
        message = f"no test beside it: write {test.name} with traffic that fires each rule and traffic that does not"
        yield LintIssue(file.source.path, 1, Code.FILE_WITHOUT_TEST, "warning", "", message)


def _lint_rules(file: LoadedFile) -> Iterator[LintIssue]:
    for index, spec in enumerate(file.file.rules):
        for code, severity, field, found, message in _CHECKS:
            if found(spec):
                text = f"{spec.id}: {message}"
                yield LintIssue(file.source.path, file.line(index, field), code, severity, spec.id, text)


_Check = tuple[Code, LintSeverity, str, Callable[[RuleSpec], bool], str]
_CHECKS: Final[tuple[_Check, ...]] = (
    (
        Code.ENFORCE_WITHOUT_RESPONSE, "error", "mode", lambda s: s.mode == "enforce" and s.response is None,
        "mode enforce without a response stops nothing: add response: {action, ttl}, or use mode warn",
    ),
    (
        Code.WARN_WITH_RESPONSE, "warning", "response", lambda s: s.mode == "warn" and s.response is not None,
        "the response is never used in mode warn: use shadow to see what it would do, enforce to do it",
    ),
    (
        Code.SANDBOX_PAGES, "error", "maturity", lambda s: s.maturity == "sandbox" and s.wakes,
        "a sandbox rule wakes people up: use severity ticket or info until it is incubating",
    ),
    (
        Code.SANDBOX_ENFORCES, "error", "maturity", lambda s: s.maturity == "sandbox" and s.mode == "enforce",
        "a sandbox rule stops traffic: use mode shadow until it is incubating",
    ),
    (
        Code.PAGE_WITHOUT_RUNBOOK, "error", "id",
        lambda s: s.runbook is None and s.wakes and not isinstance(s, CapSpec),
        "whoever is woken up needs steps: add runbook",
    ),
    (
        Code.CAP_WITHOUT_RUNBOOK, "warning", "id", lambda s: s.runbook is None and isinstance(s, CapSpec),
        "whoever meets the cap needs steps: add runbook",
    ),
    (
        Code.RULE_WITHOUT_TITLE, "warning", "id", lambda s: not s.title,
        "no title: a few words for the page's first line",
    ),
    (
        Code.SPIKE_WITHOUT_FLOOR, "warning", "floor_usd", lambda s: isinstance(s, SpikeSpec) and s.floor_usd == 0,
        "without a floor three times nothing is a page: give floor_usd",
    ),
)  # fmt: skip
