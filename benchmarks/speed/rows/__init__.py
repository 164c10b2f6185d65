"""The rows of the speed table, in the order of their report."""

from benchmarks.speed.rows import (
    agents,
    decision,
    idle,
    ingest,
    replay,
    restart,
    soak,
    state,
    takeover,
    traffic,
    workers,
)

ROWS = (
    ingest.ROW,
    workers.ROW,
    agents.ROW,
    decision.ROW,
    state.ROW,
    takeover.ROW,
    restart.ROW,
    replay.ROW,
    idle.ROW,
    traffic.ROW,
)
"""What a run without arguments measures."""

SOAK = soak.ROW
ALL = (*ROWS, SOAK)
