"""The learned weeks are replayed once for two runs, and nobody could tell from what was written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

RULES = """
rules:
  - {id: day, kind: cap, title: A cap, maturity: incubating, axis: tenant, window: 10m, limit_usd: "0.05", severity: page, mode: warn}
"""
ROOT = Path(__file__).parents[3]


def event(second: int, tenant: str, usd: str) -> str:
    return json.dumps({
        "id": f"{tenant}-{second}", "time": 1_763_337_600_000 + 1000 * second, "tenant": tenant, "feature": "chat",
        "model": "gpt-5-mini", "input_tokens": 100, "output_tokens": 10, "cost_usd": usd,
    })  # fmt: skip


def python(*arguments: str) -> None:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    subprocess.run(
        [sys.executable, "-m", *arguments], check=True, timeout=120, capture_output=True,
        env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip


@pytest.mark.slow
def test_both_halves_write_what_the_command_writes(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "caps.yaml").write_text(RULES)
    files = {
        "learned": [event(10 * i, "acme", "0.01") for i in range(300)],
        "run": [event(3000 + 10 * i, "globex", "0.01") for i in range(200)],
        "counterfactual": [event(3000 + 60 * i, "globex", "0.001") for i in range(30)],
    }
    for name, lines in files.items():
        (tmp_path / f"{name}.jsonl.zst").write_bytes(zstandard.compress("\n".join(lines).encode()))
    python("benchmarks.detection.forked", str(tmp_path), str(tmp_path / "rules"), "forked")

    for name in ("run", "counterfactual"):
        inputs = [str(tmp_path / f"{file}.jsonl.zst") for file in ("learned", name)]
        out = tmp_path / f"command-{name}"
        python("tokenfuse.cli.main", "replay", *inputs, "--rules", str(tmp_path / "rules"), "--out", str(out))
        written = {file.name: file.read_bytes() for file in out.iterdir()}
        assert written == {file.name: file.read_bytes() for file in (tmp_path / f"forked-{name}").iterdir()}
        assert written["alerts.jsonl"]
    assert (tmp_path / "forked-run" / "alerts.jsonl").read_bytes() != (
        tmp_path / "forked-counterfactual" / "alerts.jsonl"
    ).read_bytes()
