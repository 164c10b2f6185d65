"""What holds for every verb: help without heavy imports, exit codes, one JSON document on standard output."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tokenfuse.cli.main import VERBS

RULES = Path(__file__).parents[3] / "rules"
HEAVY = ("faust", "numpy", "river", "aiokafka", "pydantic_settings", "slack_sdk", "genai_prices", "rich.live")


def python(code: str, cwd, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENFUSE_")}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=kept | variables, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


def tokenfuse(cwd, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return python(
        f"import sys; sys.argv[1:] = {list(arguments)!r}; import tokenfuse.cli.main as m; m.main()",
        cwd,
        **variables,
    )


def test_help_of_every_verb_loads_nothing_heavy(tmp_path):
    """In one process, since each start costs a second of the suite."""
    code = f"""
import sys, tokenfuse.cli.main as m
for verb in [(), *((verb,) for verb in m.VERBS)]:
    sys.argv[1:] = [*verb, "--help"]
    try:
        m.main()
    except SystemExit as end:
        print("EXIT", end.code)
print("LOADED", [name for name in {HEAVY!r} if name in sys.modules])
"""
    result = python(code, tmp_path)
    assert result.stdout.count("Usage: ") == result.stdout.count("EXIT 0") == 1 + len(VERBS)
    assert result.stdout.endswith("LOADED []\n")


@pytest.mark.parametrize(
    "command",
    [
        ("topics", "create"), ("topics", "check"), ("doctor",), ("killswitch", "list"), ("alerts", "list"),
        ("publish", "-"), ("killswitch", "engage", "--tenant", "a", "--ttl", "5m", "--reason", "r"),
        ("rules", "check", "nowhere"), ("rules", "test", "nowhere"), ("rules", "check"),
        ("replay", "nowhere.jsonl", "--rules", "nowhere", "--out", "out"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_run_exits_2_with_one_json_document_and_one_sentence(tmp_path, command):
    result = tokenfuse(tmp_path, *command, "--output", "json")
    assert result.returncode == 2, result.stderr
    document = json.loads(result.stdout)
    assert document["ok"] is False
    assert document["error"]
    assert "Traceback" not in result.stderr


def test_wrong_settings_are_one_json_document_too(tmp_path):
    result = tokenfuse(tmp_path, "notify", "test", "--output", "json", TOKENFUSE_PORT="eighty")
    assert result.returncode == 2
    assert "TOKENFUSE_PORT" in json.loads(result.stdout)["error"]


def test_a_misspelt_variable_is_said_by_every_command(tmp_path):
    result = tokenfuse(tmp_path, "topics", "check", TOKENFUSE_BOOTSTRAP_SERVER="kafka:9092")
    assert result.returncode == 2
    first, second = result.stderr.splitlines()
    assert first.startswith("warning: TOKENFUSE_BOOTSTRAP_SERVER is no setting")
    assert second.startswith("no broker: set TOKENFUSE_BOOTSTRAP_SERVERS")


def test_a_broker_that_does_not_answer_is_one_sentence(tmp_path):
    result = tokenfuse(tmp_path, "topics", "check", "--bootstrap-servers", "127.0.0.1:1")
    assert (result.returncode, result.stderr) == (2, "no broker at 127.0.0.1:1: Connection refused\n")


@pytest.mark.parametrize(
    "command", [("run", "--role", "gateways"), ("topics", "crate"), ("publish",), ("schema", "x")]
)
def test_a_wrong_command_line_exits_2(tmp_path, command):
    result = tokenfuse(tmp_path, *command)
    assert (result.returncode, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr


def test_rules_that_are_right_exit_0_and_a_file_that_is_not_exits_2_with_its_place(tmp_path):
    shutil.copytree(RULES, tmp_path / "rules")
    right = tokenfuse(tmp_path, "rules", "check", "-o", "json")
    (tmp_path / "rules" / "wrong.yaml").write_text("rules:\n  - id: x\n    kind: nonsense\n")
    wrong = tokenfuse(tmp_path, "rules", "check", "-o", "json")

    assert (right.returncode, json.loads(right.stdout)["ok"]) == (0, True)
    assert (wrong.returncode, json.loads(wrong.stdout)["problems"][0]["path"]) == (2, "wrong.yaml")
    assert wrong.stderr.startswith("wrong.yaml:2: kind: expected ")


def test_a_bad_table_of_caps_exits_2_with_its_line(tmp_path):
    shutil.copytree(RULES, tmp_path / "rules")
    for table in (tmp_path / "rules" / "tables").glob("*.csv"):
        head = table.read_text().splitlines()[0]
        table.write_text(f"{head}\n" + ",".join(["?"] * (head.count(",") + 3)) + "\n")
    result = tokenfuse(tmp_path, "rules", "check", "-o", "json")

    assert result.returncode == 2
    assert all(p["path"].endswith(".csv") and p["line"] == 2 for p in json.loads(result.stdout)["problems"])


def test_without_the_service_extra_it_says_what_to_install(tmp_path):
    result = python(
        "import sys; sys.modules['typer'] = None; import tokenfuse.cli.main as m; m.main()", tmp_path
    )
    assert result.returncode == 2
    assert "pip install 'tokenfuse[service]'" in result.stderr


def test_the_gateway_part_needs_no_package_of_the_service(tmp_path):
    code = "import sys, tokenfuse.gateway; print([n for n in ('numpy', 'pydantic', 'faust', 'river') if n in sys.modules])"
    assert python(code, tmp_path).stdout == "[]\n"
