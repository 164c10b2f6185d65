"""The harness's own truth against the pure ingest core, without a broker: they were written apart and must agree."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from tests.chaos.traffic import MEASURES, PAST_MS, Traffic
from tests.chaos.truth import Truth

from tokenfuse.contracts.block import decode_block
from tokenfuse.contracts.measures import INDEX
from tokenfuse.ingest.record import Record
from tokenfuse.runtime.ingest.recipe import Recipe
from tokenfuse.runtime.settings import Settings
from tokenfuse.windows.rows import decode_rows

BASE_MS = 1_790_000_000_000
SOURCES = 2


def records() -> tuple[list[list[Record]], dict]:
    traffic = Traffic(3, BASE_MS, 100, SOURCES)
    messages = [(BASE_MS - PAST_MS, m) for m in traffic.past(300)]
    messages += [(BASE_MS + int(m.due_s * 1000), m) for m in traffic.stream(0, 60)]
    logs: list[list[Record]] = [[] for _ in range(SOURCES)]
    for at_ms, m in messages:
        log = logs[m.partition]
        log.append(Record(len(log), at_ms, m.key, m.value, ()))
    return logs, {m.value: m.fact for _, m in messages}


def test_the_truth_is_what_the_ingest_core_makes_of_the_same_log() -> None:
    settings = Settings(dedup_horizon_seconds=600)
    logs, facts = records()
    truth = Truth(facts, 600)
    got: dict = defaultdict(lambda: np.zeros(len(MEASURES), np.int64))
    letters = {}
    for source, log in enumerate(logs):
        cutter = Recipe(settings).cutter(source, 0)
        for start in range(0, len(log), 37):
            part = log[start : start + 37]
            draft = cutter.draft(part)
            result = cutter.cut(draft, {offset: log[offset] for offset in draft.wanted})
            cutter.advance(result)
            letters |= {(letter.source, letter.offset): letter.reason.value for letter in result.letters}
            for block in map(decode_block, result.blocks):
                for axis in block.rows:
                    rows = decode_rows(axis)
                    for scope, sums in zip(rows.scope, rows.sums, strict=True):
                        got[axis.axis, rows.values[scope]] += sums[[INDEX[name] for name in MEASURES]]
        for record in log:
            truth.apply(source, record.offset, record.timestamp_ms, record.value)

    wanted = truth.sums()
    assert {
        scope: tuple(map(int, row)) for scope, row in got.items() if scope[0] != "cell" and row.any()
    } == wanted
    assert letters == truth.letters
    assert {"original_unknown", "malformed_json", "time_too_old"} <= set(letters.values())
    assert min(truth.outcomes[name] for name in ("counted", "doubled", "corrected", "refused")) > 10
