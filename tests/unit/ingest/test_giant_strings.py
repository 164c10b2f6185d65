"""A flood of giant strings, none of which comes twice: nothing of it stays in ingest's memory, and every call counts."""

from __future__ import annotations

import json
import tracemalloc

from tokenfuse.contracts.block import decode_block
from tokenfuse.contracts.measures import INDEX
from tokenfuse.ingest.record import Record
from tokenfuse.runtime.ingest.recipe import Recipe
from tokenfuse.runtime.settings import Settings
from tokenfuse.windows.rows import decode_rows

MEBIBYTE = 1024 * 1024
NOW_S = 1_764_000_000
EVENTS_A_SLICE = 20


def flood(slices: int, chars: int, **fields: str) -> tuple[int, int, int]:
    """Calls and dead letters of so many slices, and how much memory is held after them. `@` is a new giant name."""
    settings = Settings(further_axes=("labels.squad",), deltas_partitions=2)
    cutter = Recipe(settings).cutter(0, 0)
    calls = letters = 0
    cutter.draft([_record(0, 1, {})])  # prices are loaded once, whatever comes
    tracemalloc.start()
    for number in range(slices):
        records = [_record(offset, chars, fields) for offset in range(number * EVENTS_A_SLICE, (number + 1) * EVENTS_A_SLICE)]  # fmt: skip
        result = cutter.cut(cutter.draft(records), {})
        cutter.advance(result)
        letters += len(result.letters)
        calls += sum(_calls(block) for block in result.blocks)
    del records, result
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return calls, letters, held


def _record(offset: int, chars: int, fields: dict) -> Record:
    giant = f"{offset}-" + "x" * chars
    event = {
        "id": f"e{offset}", "time": NOW_S, "tenant": "acme", "feature": "chat", "model": "gpt-4o", "input_tokens": 10,
        "output_tokens": 5,
    }  # fmt: skip
    event |= json.loads(json.dumps(fields).replace("@", giant))
    return Record(offset, NOW_S * 1000, b"acme", json.dumps(event).encode())


def _calls(block: bytes) -> int:
    """Calls of the global scope in one block."""
    found = 0
    for rows in decode_block(block).rows:
        if rows.axis == "global":
            found += int(decode_rows(rows).sums[:, INDEX["calls"]].sum())
    return found


def test_labels_of_a_megabyte_are_counted_by_a_short_name_and_not_kept():
    calls, letters, held = flood(10, MEBIBYTE // 2, labels={"squad": "@"})
    assert (calls, letters) == (200, 0)
    assert held < 16 * MEBIBYTE, "of 100 MB that came"


def test_a_service_tier_of_a_megabyte_is_priced_and_not_kept():
    calls, letters, held = flood(10, MEBIBYTE // 2, labels={"service_tier": "@"})
    assert (calls, letters) == (200, 0)
    assert held < 16 * MEBIBYTE


def test_names_longer_than_any_name_are_dead_letters_whatever_the_field():
    for field in (
        "tenant",
        "feature",
        "model",
        "prompt_template",
        "user",
        "run_id",
        "provider",
        "tool_signature",
    ):
        calls, letters, held = flood(2, MEBIBYTE // 2, **{field: "@"})
        assert (calls, letters) == (0, 2 * EVENTS_A_SLICE), field
        assert held < 16 * MEBIBYTE, field


def test_the_longest_names_that_are_taken_stay_apart_and_fill_no_cache():
    fields = dict.fromkeys(("tenant", "feature", "prompt_template", "user", "run_id"), "@")
    calls, letters, held = flood(100, 1000, **fields)
    assert (calls, letters) == (2000, 0)
    assert held < 32 * MEBIBYTE
