"""The arrows of the pipeline, and proof that a wrong import would be found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SERVICE_PACKAGES = [
    "faust",
    "mode",
    "river",
    "numpy",
    "pydantic",
    "pydantic_settings",
    "genai_prices",
    "yaml",
    "typer",
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def test_the_tree_keeps_every_arrow() -> None:
    done = lint_imports(ROOT)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("package", "line", "contract"),
    [
        ("gateway", "import numpy", "gateway part needs aiokafka and msgspec"),
        ("contracts", "import pydantic", "need neither pydantic nor numpy"),
        ("detect", "import faust", "does no input or output"),
        ("windows", "import tokenfuse.rules", "further down the pipeline"),
        ("ingest", "import tokenfuse.windows", "know nothing of windows"),
        ("detect", "import tokenfuse.contracts.public", "serve schemas, rules and dead-letter"),
    ],
)
def test_a_wrong_import_is_found(copy: Path, package: str, line: str, contract: str) -> None:
    (copy / f"src/tokenfuse/{package}/wrong.py").write_text(f"{line}\n")

    done = lint_imports(copy)

    assert done.returncode != 0
    assert contract in " ".join(done.stdout.split())


def test_the_gateway_part_imports_where_the_service_is_not_installed() -> None:
    """An import of None is an ImportError: the interpreter behaves as if the package were missing."""
    modules = sorted(
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        for path in (ROOT / "src/tokenfuse/gateway").rglob("*.py")
        if path.stem not in {"litellm", "openfeature"}  # adapters need the library that they adapt
    )
    program = (
        f"import sys, importlib; sys.modules.update(dict.fromkeys({SERVICE_PACKAGES!r}));"
        f"[importlib.import_module(name.removesuffix('.__init__')) for name in {modules!r}]"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
