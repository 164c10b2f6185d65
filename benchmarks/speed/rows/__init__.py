"""The rows of the speed table, in the order of their report."""

from benchmarks.speed.rows import agents, idle, ingest, replay, workers

ROWS = (ingest.ROW, workers.ROW, agents.ROW, replay.ROW, idle.ROW)
"""What a run without arguments measures."""

SOAK = ingest.ROW
ALL = ROWS
