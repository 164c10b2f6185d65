"""What a role needs of this machine, before anything runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tokenfuse.runtime.group import RoleGroup
from tokenfuse.runtime.roles import (
    RoleRunsError,
    RulesDirError,
    StateDirError,
    check_directories,
    failure_file,
    only_one,
)
from tokenfuse.runtime.settings import Settings
from tokenfuse.runtime.statelog.exits import ExitReason


@pytest.fixture
def settings(tmp_path) -> Settings:
    (tmp_path / "rules").mkdir()
    return Settings(state_dir=tmp_path / "state", rules_dir=tmp_path / "rules", topic_prefix="t.")


def test_the_state_directory_is_made_and_left_empty(settings):
    check_directories(settings, ("ingest",))
    assert list(settings.state_dir.iterdir()) == []


def test_a_state_directory_that_cannot_be_written_is_named(settings, tmp_path):
    (tmp_path / "file").write_text("")
    wrong = settings.model_copy(update={"state_dir": tmp_path / "file" / "state"})
    with pytest.raises(
        StateDirError, match=r"TOKENFUSE_STATE_DIR: .*file/state cannot be written: Not a directory"
    ):
        check_directories(wrong, ("ingest",))


def test_missing_rules_stop_the_decider_only(settings, tmp_path):
    wrong = settings.model_copy(update={"rules_dir": tmp_path / "nowhere"})
    check_directories(wrong, ("ingest", "agents", "notify"))
    with pytest.raises(RulesDirError, match="TOKENFUSE_RULES_DIR: there is no directory"):
        check_directories(wrong, ("decider",))


def test_a_second_one_in_the_same_state_directory_is_told_who_has_it(settings):
    check_directories(settings, ())
    told = rf"role ingest .*\(process {os.getpid()}\)"
    with (
        only_one(settings, "agents"),
        only_one(settings, "ingest"),
        pytest.raises(RoleRunsError, match=told),
        only_one(settings, "ingest"),
    ):
        pass
    with only_one(settings, "ingest"):
        pass


def ended(code: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-c", code])
    child.wait()
    return child


def test_a_group_says_what_its_role_said_else_what_its_exit_code_means(settings):
    check_directories(settings, ())
    group = RoleGroup(settings)
    failure_file(settings, "ingest").write_text("no topic t.tokenfuse.ids")
    why = group._why
    assert why("ingest", ended("")) == "no topic t.tokenfuse.ids"
    assert why("agents", ended("raise SystemExit(75)")) == f"input_gap: {ExitReason.INPUT_GAP.advice}"
    assert why("agents", ended("raise SystemExit(3)")) == "exit code 3, see its log"
    killed = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    assert why("agents", ended(killed)) == "SIGKILL killed it"


def test_a_role_gets_what_its_group_found_out_and_no_file_that_says_it_again(settings, monkeypatch):
    monkeypatch.setenv("TOKENFUSE_BOOTSTRAP_SERVERS_FILE", "somewhere")
    monkeypatch.setenv("TOKENFUSE_SLACK_BOT_TOKEN_FILE", "elsewhere")
    found = RoleGroup(settings.model_copy(update={"bootstrap_servers": "kafka:9092"}))._environment()
    assert found["TOKENFUSE_BOOTSTRAP_SERVERS"] == "kafka:9092"
    assert "TOKENFUSE_BOOTSTRAP_SERVERS_FILE" not in found
    assert found["TOKENFUSE_SLACK_BOT_TOKEN_FILE"] == "elsewhere"
