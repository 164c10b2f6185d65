"""YAML with line numbers, so that every mistake can be shown where it was made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tokenfuse.rules.errors import Problem, RuleFileError
from tokenfuse.rules.units import YamlFloat

FILE_BYTES_MAX: Final = 1024 * 1024
"""A rule file is written by people; a larger one is some other file."""

Place = tuple[str | int, ...]
_TYPED: Final = tuple(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null"))


class Source:
    """One parsed YAML file.

    Attributes:
        path: as messages show it.
        data: dicts, lists and scalars; times stay text, floats remember how they were written.
    """

    def __init__(self, path: str, text: str) -> None:
        """Parses; raises RuleFileError on bad YAML, repeated keys and aliases."""
        self.path = path
        self._lines: dict[Place, int] = {}
        self._problems: list[Problem] = []
        self.data = self._parse(text)
        if self._problems:
            raise RuleFileError(self._problems)

    def line(self, place: Sequence[str | int]) -> int:
        """Line of a place such as ("rules", 0, "limit_usd"); parts that the file does not have are skipped."""
        known: Place = ()
        for part in place:
            if (*known, part) in self._lines:
                known = (*known, part)
        return self._lines.get(known, 1)

    def _parse(self, text: str) -> Any:
        try:
            aliases = [e for e in yaml.parse(text, Loader=yaml.SafeLoader) if isinstance(e, yaml.AliasEvent)]
            self._problems += [
                Problem(self.path, _line_of(e.start_mark), f"alias *{e.anchor}: write the value out")
                for e in aliases
            ]
            node = None if aliases else yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            raise RuleFileError(
                [Problem(self.path, _line_of(error.problem_mark), f"not YAML: {error.problem}")]
            ) from error
        except yaml.YAMLError as error:
            raise RuleFileError([Problem(self.path, 1, f"not YAML: {error}")]) from error
        return None if node is None else self._value(node, ())

    def _value(self, node: Node, place: Place) -> Any:
        self._lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return self._mapping(node, place)
        if isinstance(node, SequenceNode):
            return [self._value(item, (*place, i)) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in out:
                self._problems.append(Problem(self.path, line, f"{key} is there twice: keep one"))
            self._lines[(*place, key)] = line
            out[key] = self._value(value_node, (*place, key))
        return out

    def _scalar(self, node: Node) -> Any:
        if node.tag not in _TYPED or not isinstance(node, ScalarNode):
            return node.value
        try:
            value = yaml.SafeLoader("").construct_object(node)
        except ValueError:
            return node.value
        if isinstance(value, float):
            value = YamlFloat(value)
            value.text = node.value
        return value


def _line_of(mark: Any) -> int:
    """Line of a parser's mark, from 1; it has none where the whole file is meant."""
    return 1 if mark is None else int(mark.line) + 1


def read_source(path: Path, shown: str) -> Source:
    """Reads and parses one file.

    Raises:
        RuleFileError: unreadable, too large, not UTF-8, or whatever Source finds.
    """
    try:
        raw = path.read_bytes()
        if len(raw) > FILE_BYTES_MAX:
            raise RuleFileError(
                [Problem(shown, 1, f"larger than {FILE_BYTES_MAX} bytes: is this a rule file?")]
            )
        return Source(shown, raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise RuleFileError([Problem(shown, line, "not UTF-8: save the file as UTF-8")]) from error
    except OSError as error:
        raise RuleFileError([Problem(shown, 1, f"cannot be read: {error.strerror}")]) from error
