"""A misspelt TOKENFUSE_ variable is ignored in silence, so the files that set them are held to the settings class."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tokenfuse.runtime.settings import PREFIX, Settings

ROOT = Path(__file__).parents[3]
FILES = sorted(
    [
        *ROOT.glob("docker-compose*.yml"),
        ROOT / "Dockerfile",
        ROOT / "docs/operations.md",
        *(ROOT / "helm").rglob("*.yaml"),
        *(ROOT / "helm").rglob("*.tpl"),
    ]
)


def names_in(text: str) -> set[str]:
    return set(re.findall(rf"\b{PREFIX}[A-Z0-9_]*[A-Z0-9]\b", text))


def is_known(name: str) -> bool:
    setting = name.removeprefix(PREFIX).lower()
    return setting in Settings.model_fields or setting.removesuffix("_file") in Settings.model_fields


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_variable_is_a_setting(path: Path) -> None:
    assert {name for name in names_in(path.read_text()) if not is_known(name)} == set()


def test_a_misspelt_variable_would_be_found() -> None:
    found = names_in("TOKENFUSE_BOOTSTRAP_SERVER: kafka:9092 TOKENFUSE_SLACK_BOT_TOKEN_FILE: /run/x")

    assert {name for name in found if not is_known(name)} == {"TOKENFUSE_BOOTSTRAP_SERVER"}


def test_the_files_set_what_a_role_cannot_do_without() -> None:
    for path in (ROOT / "docker-compose.yml", ROOT / "helm/tokenfuse/templates/_pod.tpl"):
        needed = {
            f"{PREFIX}{name}"
            for name in ("BOOTSTRAP_SERVERS", "RULES_DIR", "STATE_DIR", "REPLICATION_FACTOR")
        }
        assert needed <= names_in(path.read_text())
