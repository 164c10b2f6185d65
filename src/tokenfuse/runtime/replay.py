"""`replay`: the pure core over lines of a file. What would have happened, the same bytes every time, without a broker.

Totals come out of the agents' own windows by the same rollups that a live installation writes.
"""

from __future__ import annotations

import base64
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import numpy as np

from tokenfuse.contracts.alert import Alert, encode_alert
from tokenfuse.contracts.axes import AXES, GLOBAL
from tokenfuse.contracts.block import Block, decode_block
from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.deadletter import DeadLetter
from tokenfuse.contracts.measures import MEASURES
from tokenfuse.contracts.rollup import Rollup
from tokenfuse.contracts.ruleset import RuleSet
from tokenfuse.decide.agent import AgentConfig
from tokenfuse.decide.decider.outputs import SwitchChange
from tokenfuse.ingest.aggregate import Aggregator
from tokenfuse.ingest.decode import DecodedMany, Decoder
from tokenfuse.ingest.dedup import Entries, IdIndex
from tokenfuse.ingest.drafts import decode
from tokenfuse.ingest.record import Record
from tokenfuse.ingest.slices import SliceCutter, SliceTooLargeError
from tokenfuse.pricing.book import PriceBook
from tokenfuse.runtime.pipeline import TICK_MS, Clockwork, Pipeline
from tokenfuse.windows.clocks import IDLE_MS, LATENESS_MS

CHUNK_LINES: Final = 5000
SCOPES_MAX: Final = 100_000_000

TOTALS: Final = (
    "calls",
    "cost_nanousd",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "retries",
    "unpriced",
)


class WholeFileIds(IdIndex):
    """A file is bounded, so every id is remembered to its end: one generation, merged as it grows."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__(horizon_ms=1000 * 365 * 86_400_000)

    def add(self, generation: int, *parts: Entries) -> None:  # noqa: ARG002
        """Remember ids, whatever their minute."""
        super().add(0, *parts)

    def forget(self, now: int) -> None:
        """Never."""


class LineStore:
    """Lines by number, in a temporary file: a correction reads back the line that it corrects."""

    def __init__(self) -> None:
        """Open an empty store; it goes when the process does."""
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the replay
        self._ends = array("Q", [0])

    def add(self, line: bytes) -> None:
        """Append the next line."""
        self._file.write(line)
        self._ends.append(self._ends[-1] + len(line))

    def read(self, numbers: Iterable[int]) -> Mapping[int, Record]:
        """Records of some lines."""
        return {number: Record(number, -1, None, self._line(number)) for number in sorted(numbers)}

    def _line(self, number: int) -> bytes:
        start, end = self._ends[number], self._ends[number + 1]
        self._file.seek(start)
        line = self._file.read(end - start)
        self._file.seek(0, 2)
        return line


class Replay:
    """Runs lines through ingest, agents and decider, and writes what came out into a directory.

    Attributes:
        on_blocks: sees the delta blocks of every slice before the agents do.
    """

    def __init__(self, ruleset: RuleSet, out: Path, further_axes: tuple[str, ...] = ()) -> None:
        """Open the output files; existing ones are overwritten."""
        out.mkdir(parents=True, exist_ok=True)
        self._out = out
        self._ruleset = ruleset
        self._axes = (*AXES, *further_axes)
        self._files = {
            name: (out / f"{name}.jsonl").open("wb") for name in ("alerts", "killswitch", "deadletter")
        }
        config = AgentConfig(further_axes, SCOPES_MAX, rollup_ms=3_600_000, totals_only=True)
        self._pipeline = Pipeline(config)
        self._pipeline.on_alert = self._alert
        self._pipeline.on_switch = self._switch
        self._pipeline.on_rollup = self._rollup
        self._clockwork = Clockwork(self._pipeline)
        book = PriceBook()
        self._price_version = book.version
        self._decoder = Decoder(further_axes, 0, 0, book)
        aggregator = Aggregator(further_axes, 1)
        self._cutter = SliceCutter(0, self._decoder, book.version, aggregator, 0)
        self._cutter.index = WholeFileIds()
        self._lines = LineStore()
        self._totals: dict[tuple[str, str], dict[int, tuple[int, ...]]] = {}
        self._outcomes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._first_ms: int | None = None
        self._alerts = 0
        self.on_blocks: Callable[[Sequence[Block]], None] = lambda _blocks: None

    def run(
        self, lines: Iterable[bytes], progress: Callable[[int], None] = lambda _lines: None
    ) -> dict[str, Any]:
        """Replay lines and write every file; returns the summary."""
        events = 0
        for records in _chunks(self._stored(lines)):
            self._chunk(records)
            events += len(records)
            progress(events)
        self._clockwork.finish(self._cutter.position)
        self._write_totals()
        for file in self._files.values():
            file.close()
        return self._write_summary(events)

    def _stored(self, lines: Iterable[bytes]) -> Iterator[Record]:
        """Every line that is not blank, numbered as in the file."""
        for number, line in enumerate(lines):
            self._lines.add(line)
            if line.strip():
                yield Record(number, -1, None, line)

    def _chunk(self, records: list[Record]) -> None:
        # Decoded ahead: slices are cut at event times, which only decoding tells.
        decoded = decode(records, self._decoder)
        for first, last in _slices(decoded, len(records), self._cutter.event_ms):
            self._slice(records[first:last], decoded.part(first, last))

    def _slice(self, records: list[Record], decoded: DecodedMany) -> None:
        draft = self._cutter.draft(records, decoded)
        try:
            result = self._cutter.cut(draft, self._lines.read(draft.wanted) if draft.wanted else {})
        except SliceTooLargeError:
            half = len(records) // 2
            self._slice(records[:half], decoded.part(0, half))
            self._slice(records[half:], decoded.part(half, len(records)))
            return
        before_ms = self._cutter.event_ms
        self._cutter.advance(result)
        self._note(result.letters, result.counts)
        if result.event_ms >= 0:
            oldest_ms = self._begin(decoded, result.event_ms)
            blocks = [decode_block(block) for block in result.blocks]
            first_ms = min(max(oldest_ms, before_ms), result.event_ms)
            self.on_blocks(blocks)
            self._clockwork.slice(blocks, result.b, first_ms, result.event_ms)

    def _begin(self, decoded: DecodedMany, event_ms: int) -> int:
        """Note when the file begins; returns the oldest event time of a slice."""
        oldest_ms = int(decoded.calls.number("time_ms").min(initial=event_ms))
        if self._first_ms is None:
            self._pipeline.install(self._ruleset, oldest_ms)
        self._first_ms = min(oldest_ms, event_ms if self._first_ms is None else self._first_ms)
        return oldest_ms

    def _note(self, letters: Sequence[DeadLetter], counts: Mapping[Any, int]) -> None:
        self._outcomes.update({str(outcome): count for outcome, count in counts.items()})
        for letter in letters:
            self._reasons[str(letter.reason)] += 1
            self._write("deadletter", msgspec.json.encode(_letter(letter)))

    def _alert(self, alert: Alert) -> None:
        self._alerts += 1
        self._write("alerts", encode_alert(alert))

    def _switch(self, change: SwitchChange) -> None:
        if not change.key.startswith("~heartbeat"):
            record = {"key": change.key, "generation": change.generation, "value": change.value}
            self._write("killswitch", msgspec.json.encode(record))

    def _rollup(self, rollup: Rollup) -> None:
        if rollup.axis != GLOBAL:
            self._totals.setdefault((rollup.axis, rollup.value), {})[rollup.pane_start_s] = rollup.sums

    def _write(self, name: str, line: bytes) -> None:
        self._files[name].write(line + b"\n")

    def _write_totals(self) -> None:
        place = {axis: i for i, axis in enumerate(self._axes)}
        columns = [MEASURES.index(name) for name in TOTALS]
        with (self._out / "totals.jsonl").open("wb") as file:
            for axis, value in sorted(self._totals, key=lambda key: (place[key[0]], key[1])):
                parts = self._totals[axis, value].values()
                sums = [sum(part[column] for part in parts) for column in columns]
                record = {"axis": axis, "value": value, **dict(zip(TOTALS, sums, strict=True))}
                file.write(msgspec.json.encode(record) + b"\n")

    def _write_summary(self, lines: int) -> dict[str, Any]:
        cutter, counts = self._cutter, self._outcomes
        summary = {
            "lines": lines,
            "events": counts["counted"] + counts["corrected"],
            "duplicates": counts["duplicate"] + counts["stale_revision"],
            "corrections": counts["corrected"],
            "not_billed": counts["not_billed"],
            "dead_letters": dict(sorted(self._reasons.items())),
            "unpriced": sum(
                sum(p[2] for p in parts.values()) for (a, _), parts in self._totals.items() if a == "tenant"
            ),
            "alerts": self._alerts,
            "first_time": to_rfc3339(self._first_ms) if self._first_ms is not None else None,
            "last_time": to_rfc3339(cutter.event_ms) if cutter.event_ms >= 0 else None,
            "ruleset": self._ruleset.id,
            "price_version": self._price_version,
        }
        (self._out / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
        return summary


def _slices(decoded: DecodedMany, count: int, newest_ms: int) -> Iterator[tuple[int, int]]:
    """Where to cut, so that verdicts come as they would live.

    The agents step through the panes of a slice themselves. What they cannot know is in which order calls came: late
    ones and corrections are cut pane by pane. In a gap time must pass between two slices.
    """
    of_record = np.full(count, -1)
    np.maximum.at(of_record, decoded.of_call, decoded.calls.number("time_ms"))
    newest = np.maximum.accumulate(np.append(newest_ms, of_record))
    before, after = newest[:-1], newest[1:]
    late = (of_record >= 0) & (of_record < before - LATENESS_MS)
    if late.any() or decoded.calls.number("revision").any():
        cuts = after // TICK_MS > before // TICK_MS
    else:
        cuts = after - before >= IDLE_MS
    yield from pairwise([0, *(np.flatnonzero(cuts[1:]) + 1).tolist(), count])


def _chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
    while chunk := list(islice(records, CHUNK_LINES)):
        yield chunk


def _letter(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter as JSON; bytes that are no UTF-8 as base64."""
    record = {
        "line": letter.offset + 1,
        "reason": str(letter.reason),
        "path": letter.path,
        "detail": letter.detail,
    }
    try:
        return record | {"original": letter.original.decode()}
    except UnicodeDecodeError:
        return record | {"original_base64": base64.b64encode(letter.original).decode()}
