"""Calls as canonical events, JSON lines in the order of their arrival, compressed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import zstandard
from benchmarks.detection.calls import Calls
from benchmarks.detection.company import FEATURES, MODELS, Company, tenant_name

CHUNK: Final = 50_000
LEVEL: Final = 1


class Event(msgspec.Struct, omit_defaults=True):
    """The fields of CostEvent that the simulator fills, in the order of `_columns`."""

    id: str
    time: int
    tenant: str
    feature: str
    model: str
    prompt_template: str
    user: str
    input_tokens: int
    output_tokens: int
    cost_usd: str
    cache_read_tokens: int = 0
    reasoning_tokens: int = 0
    attempt: int = 1
    status: str = "ok"
    latency_ms: int = -1
    tool_calls: int = 0
    run_id: str | None = None
    parent_run_id: str | None = None
    step: int | None = None
    depth: int | None = None
    tool_signature: str | None = None


def template_of(feature: str) -> str:
    """Every feature has one template."""
    return f"{feature}-v1"


def write(path: Path, company: Company, calls: Calls) -> None:
    """Write events in the order of their arrival; the same calls give the same bytes."""
    ordered = calls[calls["arrive_ms"].argsort(kind="stable")]
    encode = msgspec.json.Encoder().encode_lines
    with path.open("wb") as file, zstandard.ZstdCompressor(level=LEVEL).stream_writer(file) as out:
        for start in range(0, len(ordered), CHUNK):
            out.write(encode([Event(*row) for row in rows(company, ordered[start : start + CHUNK])]))


def rows(company: Company, calls: Calls) -> Iterator[tuple[Any, ...]]:
    """The fields of Event, call by call."""
    cells = [(tenant_name(c.tenant), FEATURES[c.feature].name) for c in company.cells]
    tenants = [cells[cell][0] for cell in calls["cell"].tolist()]
    features = [cells[cell][1] for cell in calls["cell"].tolist()]
    agents = calls["run"].tolist()
    return zip(
        (f"s{company.seed}-{number}" for number in calls["number"].tolist()),
        calls["time_ms"].tolist(),
        tenants,
        features,
        (MODELS[model] for model in calls["model"].tolist()),
        map(template_of, features),
        (f"{tenant}-u{user}" for tenant, user in zip(tenants, calls["user"].tolist(), strict=True)),
        calls["input"].tolist(),
        calls["output"].tolist(),
        map(usd_text, calls["cost"].tolist()),
        calls["cached"].tolist(),
        calls["reasoning"].tolist(),
        calls["attempt"].tolist(),
        ("error" if failed else "ok" for failed in calls["failed"].tolist()),
        calls["latency_ms"].tolist(),
        (int(run >= 0) for run in agents),
        map(run_name, agents),
        map(run_name, calls["parent"].tolist()),
        _of_runs(agents, calls["step"].tolist()),
        _of_runs(agents, calls["depth"].tolist()),
        (f"{signature:012x}" if signature >= 0 else None for signature in calls["signature"].tolist()),
        strict=True,
    )


def _of_runs(agents: list[int], values: list[int]) -> Iterator[int | None]:
    return (value if run >= 0 else None for run, value in zip(agents, values, strict=True))


def run_name(run: int) -> str | None:
    """`run-<number>`; -1 is no run."""
    return f"run-{run}" if run >= 0 else None


def usd_text(nanousd: int) -> str:
    """Dollars as a decimal string, exact.

    >>> usd_text(1_000_000_007)
    '1.000000007'
    """
    return f"{nanousd // 10**9}.{nanousd % 10**9:09d}"
