"""A process loads what its role runs and nothing else: imports are most of what a start takes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

WATCHED = (
    "faust", "genai_prices", "numpy", "pagerduty", "river", "slack_sdk",
    "tokenfuse.contracts.public", "tokenfuse.decide", "tokenfuse.demo", "tokenfuse.ingest", "tokenfuse.notify",
    "tokenfuse.pricing", "tokenfuse.rules", "tokenfuse.windows",
)  # fmt: skip
"""Packages that some role does without."""

NEEDED = {
    "ingest": {"numpy", "tokenfuse.ingest", "tokenfuse.pricing"},
    "agents": {"faust", "numpy", "tokenfuse.decide", "tokenfuse.windows"},
    # Rules are read here, and ids are compared by reading events.
    "decider": {
        "faust", "numpy", "tokenfuse.decide", "tokenfuse.ingest", "tokenfuse.pricing", "tokenfuse.rules",
        "tokenfuse.windows",
    },
    "notify": {"pagerduty", "slack_sdk", "tokenfuse.notify"},
}  # fmt: skip

ROLE = """
import json, sys
import tokenfuse.runtime.logs, tokenfuse.runtime.settings
from tokenfuse.cli import run
from tokenfuse.runtime.roles import _role_main
_role_main(sys.argv[1])
"""

VERB = """
import json, sys
from tokenfuse.cli.main import main
try:
    main()
except SystemExit:
    pass
"""


def loaded(code: str, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint(json.dumps(list(sys.modules)))", *arguments],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("role", NEEDED)
def test_a_role_loads_no_package_that_only_others_need(role: str) -> None:
    assert loaded(ROLE, role) & set(WATCHED) == NEEDED[role]


def test_a_verb_loads_no_other_verb() -> None:
    verbs = {name for name in loaded(VERB, "topics", "--help") if name.startswith("tokenfuse.cli.")}

    assert verbs == {"tokenfuse.cli.main", "tokenfuse.cli.common", "tokenfuse.cli.topics"}
