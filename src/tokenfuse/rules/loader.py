"""Loading a directory of rule files: whole, or refused whole with every mistake in its place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec.structs import replace
from pydantic import ValidationError

from tokenfuse.contracts.ruleset import AnyRule, RuleSet, encode_ruleset
from tokenfuse.rules import schema
from tokenfuse.rules.errors import Problem, RuleFileError
from tokenfuse.rules.explain import problems
from tokenfuse.rules.source import Source, read_source
from tokenfuse.rules.tables import parse_zone, zone_column
from tokenfuse.windows.reach import out_of_reach

TEST_SUFFIX: Final = "_test.yaml"


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """One rule file that is well formed: its source for line numbers, and what it says."""

    root: Path
    source: Source
    file: schema.RuleFile

    def line(self, rule: int, field: str = "id") -> int:
        """Line of a rule's field; of the rule where the field is not there."""
        return self.source.line(("rules", rule, field))


def load(root: Path) -> RuleSet:
    """The rule set of a directory. The same files give the same id.

    Raises:
        RuleFileError: with every mistake in every file; nothing is loaded then.
    """
    return compile_files(read_files(root))


def read_files(root: Path) -> list[LoadedFile]:
    """Every rule file of a directory, by name, checked one by one.

    Raises:
        RuleFileError: with every mistake in every file.
    """
    found: list[LoadedFile] = []
    wrong: list[Problem] = []
    for path in rule_paths(root):
        try:
            found.append(read_file(root, path))
        except RuleFileError as error:
            wrong += error.problems
    if wrong:
        raise RuleFileError(wrong)
    return found


def read_file(root: Path, path: Path) -> LoadedFile:
    """One rule file.

    Raises:
        RuleFileError: with every mistake in it.
    """
    source = read_source(path, path.relative_to(root).as_posix())
    if source.data is None:
        raise RuleFileError([Problem(source.path, 1, "empty: a rule file has `rules:` or `settings:`")])
    try:
        return LoadedFile(root, source, schema.RuleFile.model_validate(source.data))
    except ValidationError as error:
        raise RuleFileError(problems(error, source, schema.MODELS)) from error


def compile_files(files: Iterable[LoadedFile]) -> RuleSet:
    """One rule set of checked files.

    Raises:
        RuleFileError: a rule id or the settings are there twice, or a table is wrong.
    """
    files = list(files)
    wrong: list[Problem] = []
    rules: dict[str, AnyRule] = {}
    for file, index, rule in _compiled(files, wrong):
        if rule.id in rules:
            wrong.append(
                Problem(
                    file.source.path, file.line(index), f"id {rule.id} is taken: ids are unique in all files"
                )
            )
        if (fault := out_of_reach(rule)) is not None:
            wrong.append(Problem(file.source.path, file.line(index), f"rule {rule.id}: {fault}"))
        rules[rule.id] = rule
    ruleset = _with_settings(RuleSet(id="", rules=tuple(rules.values())), files, wrong)
    if wrong:
        raise RuleFileError(wrong)
    return replace(ruleset, id=hashlib.blake2b(encode_ruleset(ruleset), digest_size=8).hexdigest())


def rule_paths(root: Path) -> list[Path]:
    """The rule files of a directory, sorted by name, without their tests.

    Raises:
        RuleFileError: no such directory, no rule file in it, or a file that would silently be left out.
    """
    if not root.is_dir():
        raise RuleFileError([Problem(str(root), 1, "no such directory: give the one with the rule files")])
    odd = sorted(root.glob("*.yml"))
    if odd:
        raise RuleFileError(Problem(path.name, 1, "would be left out: rename it to .yaml") for path in odd)
    paths = [path for path in sorted(root.glob("*.yaml")) if not path.name.endswith(TEST_SUFFIX)]
    if not paths:
        raise RuleFileError([Problem(str(root), 1, "no rule file (*.yaml) in this directory")])
    return paths


def files_digest(root: Path) -> str:
    """Hash over the names and bytes of everything `load` may read: poll it, and load again when it changes.

    Never raises for a file that disappears meanwhile; the next poll sees what is there then.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(p for pattern in ("*.yaml", "*.yml", "**/*.csv") for p in root.glob(pattern)):
        if path.name.endswith(TEST_SUFFIX):
            continue
        try:
            content = hashlib.blake2b(path.read_bytes()).digest()
        except OSError:
            content = b""
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode() + content)
    return digest.hexdigest()


def _compiled(files: list[LoadedFile], wrong: list[Problem]) -> Iterator[tuple[LoadedFile, int, AnyRule]]:
    for file in files:
        for index, spec in enumerate(file.file.rules):
            try:
                rules = [rule for axis in spec.axes for rule in spec.compiled(axis, file.root)]
                yield from ((file, index, rule) for rule in rules)
            except RuleFileError as error:
                wrong += error.problems


def _with_settings(ruleset: RuleSet, files: list[LoadedFile], wrong: list[Problem]) -> RuleSet:
    given = [file for file in files if file.file.settings is not None]
    for file in given[1:]:
        message = f"settings are in {given[0].source.path} already: one file has them"
        wrong.append(Problem(file.source.path, file.source.line(("settings",)), message))
    if not given or given[0].file.settings is None:
        return ruleset
    settings, file = given[0].file.settings, given[0]
    zones: dict[str, str] = {}
    try:
        parse_zone(settings.default_time_zone)
        zones = zone_column(file.root, settings.time_zones) if settings.time_zones else {}
    except RuleFileError as error:
        wrong += error.problems
    except ValueError as error:
        place = ("settings", "default_time_zone")
        wrong.append(Problem(file.source.path, file.source.line(place), f"default_time_zone: {error}"))
    return replace(
        ruleset,
        default_time_zone=settings.default_time_zone,
        time_zones=zones,
        switches_max=settings.switches_max,
    )
