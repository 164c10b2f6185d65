"""A rule that looks further back than panes are kept is refused where it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenfuse.rules.errors import RuleFileError
from tokenfuse.rules.loader import load

CAP = """rules:
  - id: far
    kind: cap
    maturity: stable
    axis: {axis}
    window: {window}
    limit_usd: "5"
    severity: page
    mode: warn
    runbook: docs/runbooks.md
"""


def problems(tmp_path: Path, axis: str, window: str) -> list[str]:
    (tmp_path / "caps.yaml").write_text(CAP.format(axis=axis, window=window))
    try:
        load(tmp_path)
    except RuleFileError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("axis", "window"), [("tenant", "30d"), ("user", "7d"), ("run_id", "24h"), ("run_id", "month")]
)
def test_windows_that_kept_panes_cover_load(tmp_path: Path, axis: str, window: str) -> None:
    assert problems(tmp_path, axis, window) == []


def test_a_week_of_a_run_is_refused_with_its_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "run_id", "7d")
    assert "caps.yaml:2" in problem
    assert "axis run_id keeps no panes that cover a window of 604800 s" in problem
