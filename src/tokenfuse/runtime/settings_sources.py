"""Where settings come from besides the environment, and what is said where one of them is wrong.

WrongSettingsError     one sentence for each wrong setting, never its value: it may be a secret
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import ValidationError
from pydantic_settings import (
    PydanticBaseSettingsSource,
    SettingsError,
    YamlConfigSettingsSource,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

    from pydantic_core import ErrorDetails

    from tokenfuse.runtime.settings import Settings

PREFIX: Final = "TOKENFUSE_"
YAML_FILE: Final = "tokenfuse.yaml"
FILE_SUFFIX: Final = "_FILE"
NO_SETTINGS: Final = frozenset({"TOKENFUSE_PARENT_PID", "TOKENFUSE_TEST_CACHE"})
"""Variables of ours that are no settings: from a group to its roles, and for the test suite."""


class WrongSettingsError(ValueError):
    """Settings that cannot be used."""

    def __init__(self, problems: list[str]) -> None:
        """One sentence each."""
        super().__init__("wrong settings: " + "; ".join(problems))
        self.problems = problems


class FileSecretsSource(PydanticBaseSettingsSource):
    """Reads `TOKENFUSE_<NAME>_FILE`: the setting's value is that file's content, without the last newline."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Value of one setting from its file, or None."""
        name = f"{PREFIX}{field_name.upper()}"
        path = os.environ.get(name + FILE_SUFFIX)
        if not path:  # an empty variable is one that is not set, as everywhere
            return None, field_name, False
        if os.environ.get(name):
            raise WrongSettingsError([f"both {name} and {name}{FILE_SUFFIX} are set: keep one"])
        return _content(Path(path), name + FILE_SUFFIX), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All settings that come from files."""
        values = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in values.items() if value is not None}


def _content(path: Path, variable: str) -> str:
    try:
        text = path.read_text().rstrip("\r\n")
    except OSError as error:
        raise WrongSettingsError([f"{variable}: cannot read {path}: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise WrongSettingsError([f"{variable}: {path} is no text in UTF-8"]) from error
    if not text:
        raise WrongSettingsError([f"{variable}: {path} is empty"])
    return text


class YamlSource(YamlConfigSettingsSource):
    """`tokenfuse.yaml` in the working directory, where there is one."""

    def _read_file(self, path: Path | Traversable) -> dict[str, Any]:
        try:
            document = yaml.safe_load(path.read_text())
        except OSError as error:
            raise WrongSettingsError([f"{path}: {error.strerror}"]) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise WrongSettingsError([f"{_place(path, error)}: this is not YAML"]) from error
        if document is None:
            return {}
        if not isinstance(document, dict) or not all(isinstance(name, str) for name in document):
            raise WrongSettingsError([f"{path}: lines `name: value` are expected, such as `log_level: info`"])
        return document


def _place(path: object, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)


def read_settings(**overrides: Any) -> Settings:
    """Settings from everywhere; overrides that are None count as not given.

    Raises:
        WrongSettingsError: with everything that is wrong.
    """
    from tokenfuse.runtime.settings import Settings

    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise WrongSettingsError([_problem(each) for each in error.errors()]) from None
    except SettingsError as error:
        raise WrongSettingsError([str(error)]) from None


def _problem(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return message
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"{YAML_FILE}: there is no setting {name}{_did_you_mean(name)}"
    return f"{PREFIX}{name.upper()}: {message}"


def unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """One sentence for each variable that looks like a setting and is none: it would be ignored in silence."""
    known = {PREFIX + name.upper() for name in _names()}
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable in NO_SETTINGS:
            continue
        if variable.removesuffix(FILE_SUFFIX) not in known:
            yield f"{variable} is no setting and is ignored{_did_you_mean(variable)}"


def _did_you_mean(wrong: str) -> str:
    names = {name: PREFIX + name.upper() if wrong.startswith(PREFIX) else name for name in _names()}
    bare = wrong.removeprefix(PREFIX).removesuffix(FILE_SUFFIX).lower()
    close = difflib.get_close_matches(bare, names, n=1)
    return f": did you mean {names[close[0]]}?" if close else ""


def _names() -> list[str]:
    from tokenfuse.runtime.settings import Settings

    return list(Settings.model_fields)
