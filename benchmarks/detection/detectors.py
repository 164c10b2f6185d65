"""The rules that are judged: all of `rules/` that learn what is normal, without limits that somebody has to set.

A cap, a budget or a run's number of steps says what its owner wants and not what is unusual: on a simulated company it
would be right or wrong by how the company was made.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import yaml

KINDS: Final = frozenset({"drift", "volume", "burst", "agent", "price", "absence", "novelty"})
"""Without `spike`, the rule of thumb, which is a column of its own in the table."""
AGENT_LEARNS: Final = "times_record"
ESTIMATES: Final = frozenset({"repetition"})
"""Limits of an estimate, not of what somebody wants."""


def write(rules: Path, out: Path) -> Path:
    """Copy the settings and the detectors of some rule files to another directory; returns it."""
    out.mkdir(parents=True, exist_ok=True)
    shutil.copytree(rules / "tables", out / "tables", dirs_exist_ok=True)
    for file in sorted(rules.glob("*.yaml")):
        if file.stem.endswith("_test"):
            continue
        document = yaml.safe_load(file.read_text())
        if "rules" in document:
            document["rules"] = [rule for rule in document["rules"] if _is_detector(rule)]
        if document.get("rules", True):
            (out / file.name).write_text(yaml.safe_dump(document, sort_keys=False))
    return out


def _is_detector(rule: dict[str, Any]) -> bool:
    if rule["kind"] == "agent":
        return AGENT_LEARNS in rule or rule["measure"] in ESTIMATES
    return rule["kind"] in KINDS
