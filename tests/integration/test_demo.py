"""`tokenfuse demo` as its user runs it: everything is seen and nothing is left running, or it says what did not happen."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.processes import wait_until

from tokenfuse.demo.checks import Step

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "tokenfuse.cli.main", "demo"]
SECONDS_MAX = 170

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * SECONDS_MAX)]


def environment_in(directory: Path) -> dict[str, str]:
    """Settings that the demo must not follow: it neither reads somebody's broker nor tells somebody's channel."""
    foreign = {
        "TOKENFUSE_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "TOKENFUSE_SLACK_BOT_TOKEN": "xoxb-not-to-be-used",
        "TOKENFUSE_SLACK_CHANNEL": "C0",
        "TOKENFUSE_TOPIC_PREFIX": "somebodys.",
    }
    return {**os.environ, **foreign, "TMPDIR": str(directory)}


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*DEMO, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@dataclass
class Ended:
    """A demo that has ended, and what it left."""

    code: int
    out: str
    err: str
    summary: str
    left: list[str]


def demo(directory: Path, *arguments: str) -> Ended:
    process = start(environment_in(directory), *arguments)
    try:
        out, err = process.communicate(timeout=SECONDS_MAX)
    finally:
        process.kill()
    left = [file.name for file in directory.iterdir()]
    return Ended(process.returncode, out, err, out.partition("What was checked")[2], left)


def processes_below(directory: Path) -> list[str]:
    """Command lines of processes whose environment or arguments name the directory."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid():
            try:
                said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            except OSError:
                continue
            if str(directory).encode() in said:
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def test_every_step_is_seen_and_nothing_is_left(tmp_path):
    whole = demo(tmp_path)

    assert whole.code == 0, whole.out + whole.err
    assert whole.summary.count("✔") == len(Step)
    assert "✘" not in whole.summary
    assert re.search(r"GATEWAY REFUSED \(402\) \d+\.\d\d s after the breaching call", whole.out)
    for page in ("Prompts grew", "Cache hits lost", "Over the spending cap"):
        assert f"PAGE: {page}" in whole.out
    assert "Kill switch engaged: block" in whole.out
    assert (whole.err, whole.left) == ("", [])


def test_without_the_drift_rules_it_says_which_steps_did_not_happen(tmp_path):
    rules, directory = tmp_path / "rules", tmp_path / "temporary"
    shutil.copytree(ROOT / "rules", rules, ignore=shutil.ignore_patterns("drift*"))
    directory.mkdir()

    without = demo(directory, "--rules", str(rules))

    assert without.code == 1, without.out + without.err
    missing = without.err.removeprefix("did not happen: ").strip().split("; ")
    # On a machine that is busy with something else, later steps may miss the time limit too.
    assert missing[:2] == [Step.PROMPT.value, Step.CACHE.value]
    assert (without.summary.count("✘"), without.left) == (len(missing), [])


def test_rules_that_cannot_be_read_stop_it_before_anything_starts(tmp_path):
    (tmp_path / "wrong.yaml").write_text("rules: [{id: x}]\n")

    refused = demo(tmp_path, "--rules", str(tmp_path))

    assert (refused.code, refused.out) == (2, "")
    assert "wrong.yaml:1" in refused.err


def test_ctrl_c_leaves_nothing_running(tmp_path):
    process = start(environment_in(tmp_path))
    try:
        # The roles are there; some are still joining their groups.
        wait_until(lambda: sum("--role" in line for line in processes_below(tmp_path)) >= 3, "roles", 60)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()

    assert process.returncode == 130
    assert "stopped" in said
    wait_until(lambda: not processes_below(tmp_path), "every process of the demo ends")
    assert list(tmp_path.iterdir()) == []
