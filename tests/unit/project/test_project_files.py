"""The files around the code agree with each other, and make helps where it cannot go on."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs make as from a shell, also when make runs the tests."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_help_explains_every_target() -> None:
    targets = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())
    explained = {line.split()[0] for line in make("help").stdout.splitlines()}

    assert explained == targets


@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_says_what_to_do_when_python_is_too_old(target: str, tmp_path: Path) -> None:
    done = make(target, "PYTHON=", f"UV={tmp_path}/uv/bin/uv", f"VENV={tmp_path}/venv")

    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert "make PYTHON=" in done.stderr


def test_one_version_everywhere() -> None:
    version = PROJECT["project"]["version"]
    chart = yaml.safe_load((ROOT / "helm/tokenfuse/Chart.yaml").read_text())
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())

    assert chart["appVersion"] == version
    assert compose["x-image"]["image"] == f"tokenfuse:{version}"


def test_the_image_installs_with_the_same_uv_as_make() -> None:
    (pinned,) = re.findall(r"^UV_VERSION := (\S+)$", MAKEFILE, re.MULTILINE)

    assert f"uv=={pinned}" in (ROOT / "Dockerfile").read_text()


def test_the_base_install_is_what_a_gateway_needs_and_no_more() -> None:
    names = {re.match(r"[a-z-]+", requirement)[0] for requirement in PROJECT["project"]["dependencies"]}

    assert names == {"aiokafka", "msgspec"}


def test_ci_ends_with_the_readmes_test_command() -> None:
    script = (ROOT / ".ci/run").read_text()

    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert script.index("make --no-print-directory test") > script.index('make --no-print-directory "$check"')
    assert "export CI=true" in script


def test_the_changelog_has_a_place_for_the_next_line() -> None:
    assert re.search(r"^## \[Unreleased\]$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_every_decision_has_a_number_of_its_own_and_a_status() -> None:
    records = sorted((ROOT / "docs/adr").glob("*.md"))
    numbers = [record.name[:4] for record in records]

    assert len(numbers) == len(set(numbers))
    for record in records:
        assert re.search(r"^Status: ", record.read_text(), re.MULTILINE), record.name
