"""What the poller says of the rule files: refused, right again, and rules that judge nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tokenfuse.rules.loader import load
from tokenfuse.runtime.rules_poller import RulesPoller
from tokenfuse.runtime.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

CAP = """
rules:
  - id: cap
    kind: cap
    maturity: stable
    axis: {axis}
    window: 24h
    limit_usd: "5"
    severity: page
    mode: warn
    runbook: docs/runbooks.md
"""


async def heard(poller: RulesPoller) -> list[tuple[str, str]]:
    """Level and line of one poll."""
    with capture_logs() as lines:
        await poller._read_files()
        await poller._compare()
    return [(line["log_level"], line["event"]) for line in lines]


def gauge(name: str) -> float:
    return REGISTRY.get_sample_value(f"tokenfuse_rules_{name}")


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "cap.yaml"


def poller_of(file: Path, **settings: object) -> RulesPoller:
    """Of a decider that has the rules in force that are in the file now."""
    core = SimpleNamespace(ruleset=load(file.parent))
    return RulesPoller(Settings(rules_dir=file.parent, **settings), lambda: core)


async def test_files_that_are_right_again_are_said_to_be_in_force_once(file):
    file.write_text(CAP.format(axis="tenant"))
    poller = poller_of(file)
    assert await heard(poller) == []
    file.write_text("rules: nonsense")
    ((level, _),) = await heard(poller)
    assert (level, gauge("last_reload_successful")) == ("warning", 0)
    file.write_text(CAP.format(axis="tenant"))
    assert await heard(poller) == [("info", "the rule files are in force")]
    assert (await heard(poller), gauge("last_reload_successful")) == ([], 1)


async def test_rules_on_an_axis_that_is_not_kept_are_said_and_counted(file):
    file.write_text(CAP.format(axis="cost_center"))
    ((level, line),) = await heard(poller_of(file))
    assert (level, gauge("without_scopes")) == ("warning", 1)
    assert "TOKENFUSE_FURTHER_AXES" in line
    assert await heard(poller_of(file, further_axes=("cost_center",))) == []
    assert gauge("without_scopes") == 0
