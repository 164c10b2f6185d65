"""`doctor`: its verdicts, and that nothing it meets stops it. On brokers: test_run_command, test_security."""

from __future__ import annotations

import pytest

from tokenfuse.cli.doctor import Health, consumer_check
from tokenfuse.cli.doctor_local import local_checks, role_checks, rules_check
from tokenfuse.runtime.consumers import Lag
from tokenfuse.runtime.roles import role_file
from tokenfuse.runtime.settings import Settings


@pytest.fixture
def settings(tmp_path) -> Settings:
    (tmp_path / "rules").mkdir()
    (tmp_path / "state").mkdir()
    return Settings(state_dir=tmp_path / "state", rules_dir=tmp_path / "rules")


def test_a_role_that_nobody_runs_is_wrong_and_the_command_is_named():
    check = consumer_check(Lag("agents", "tokenfuse.deltas", members=0, records=5))
    assert (check.health, check.advice) == (Health.WRONG, "start it: tokenfuse run --role agents")


def test_a_role_that_is_behind_and_moves_is_fine():
    assert consumer_check(Lag("agents", "tokenfuse.deltas", 1, 5_000)).health is Health.OK


def test_a_role_that_stands_still_before_its_input_is_wrong():
    check = consumer_check(Lag("ingest", "llm.cost.events", 1, 40, still=(0, 3)))
    assert check.health is Health.WRONG
    assert "stands still on partitions 0, 3" in check.found


def test_bad_rules_are_shown_with_their_place(settings):
    (settings.rules_dir / "a.yaml").write_text("rules:\n  - id: x\n    kind: nonsense\n")
    check = rules_check(settings)
    assert check.health is Health.WRONG
    assert check.found.startswith("a.yaml:2: kind: expected ")


def test_missing_rules_are_wrong(settings, tmp_path):
    assert rules_check(settings.model_copy(update={"rules_dir": tmp_path / "nowhere"})).health is Health.WRONG


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"pid": 1}', '{"host": "127.0.0.1", "port": 1, "pid": 1}', "\x00"]
)
def test_a_role_whose_file_is_damaged_or_left_over_is_wrong_and_stops_no_other_check(settings, text):
    role_file(settings, "ingest").write_text(text)
    (check,) = role_checks(settings)
    assert (check.part, check.health) == ("role ingest", Health.WRONG)
    assert {check.part for check in local_checks(settings)} >= {"rules", "receivers", "prices", "role ingest"}
