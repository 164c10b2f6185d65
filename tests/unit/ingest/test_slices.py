"""Any interleaving of originals, duplicates and revisions, in any slicing, gives the sums of the latest revisions."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings, strategies as st
from tests.support.blocks import expected_sums, sums_of

from tokenfuse.contracts.block import decode_block
from tokenfuse.contracts.deadletter import Reason
from tokenfuse.contracts.ids import decode_ids
from tokenfuse.contracts.topics import EVENT_BYTES_MAX
from tokenfuse.ingest import slices
from tokenfuse.ingest.aggregate import Aggregator
from tokenfuse.ingest.corrections import Outcome
from tokenfuse.ingest.decode import Decoder
from tokenfuse.ingest.record import HISTORY, MODE_HEADER, Record
from tokenfuse.ingest.slices import SliceCutter, SliceTooLargeError, homogeneous
from tokenfuse.pricing.book import PriceBook

START_MS = 1_764_000_000_000
MINUTE_MS = 60_000
BOOK = PriceBook()
DECODER = Decoder((), 10**9, 10**9, BOOK)


def event(id_: str, cost: str = "1", revision: int = 0, **fields) -> bytes:
    body = {
        "id": id_, "time": START_MS, "tenant": "acme", "feature": "chat", "model": "gpt-4o", "input_tokens": 10,
        "output_tokens": 5, "cost_usd": cost, "revision": revision,
    }  # fmt: skip
    return json.dumps(body | fields).encode()


def records(*values: bytes, start: int = 0, at_ms: int = START_MS, **fields) -> list[Record]:
    return [Record(start + i, at_ms, b"acme", value, **fields) for i, value in enumerate(values)]


def cutter(horizon_seconds: int = 600, position: int = 0, **clocks) -> SliceCutter:
    return SliceCutter(3, DECODER, BOOK.version, Aggregator((), 4), horizon_seconds, position, **clocks)


def run(target: SliceCutter, log: list[Record], cuts=()) -> list[slices.SliceResult]:
    """Cuts the log at these places, reading originals back from the log itself."""
    by_offset = {record.offset: record for record in log}
    results = []
    for start, end in zip([0, *cuts], [*cuts, len(log)], strict=True):
        if start == end:
            continue
        draft = target.draft(log[start:end])
        result = target.cut(draft, {offset: by_offset[offset] for offset in draft.wanted})
        target.advance(result)
        results.append(result)
    return results


def total(results) -> tuple[dict, Counter, int]:
    blocks = [block for result in results for block in result.blocks]
    counts = sum((result.counts for result in results), Counter())
    return sums_of(blocks), counts, sum(len(result.letters) for result in results)


def latest_revisions(log: list[Record], horizon_minutes: int):
    """The rule, record after record: what stands in the end, and how each record came out."""
    known: dict[str, tuple[int, int, object]] = {}
    standing, signs, outcomes = [], [], Counter()
    clock = -1
    for record in log:
        clock = max(clock, record.timestamp_ms)
        (call,) = DECODER.decode(record.value, (), record.timestamp_ms)
        revision, minute, old = known.get(call.id, (-1, -1, None))
        if old is not None and minute < clock // MINUTE_MS - horizon_minutes:
            revision, old = -1, None
        if old is None and call.revision and call.replaces is None:
            outcomes[Outcome.DEAD_LETTER] += 1
            continue
        if call.revision <= revision:
            outcomes[Outcome.DUPLICATE if call.revision == revision else Outcome.STALE_REVISION] += 1
            continue
        if old is None and call.revision:
            old = call.replaces
        outcomes[Outcome.CORRECTED if old is not None else Outcome.COUNTED] += 1
        standing += [call] if old is None else [call, old]
        signs += [1] if old is None else [1, -1]
        known[call.id] = (call.revision, clock // MINUTE_MS, call)
    return expected_sums(standing, signs), outcomes


REPLACED = {
    "time": START_MS - 50_000, "tenant": "acme", "feature": "chat", "model": "gpt-4o", "input_tokens": 7,
    "output_tokens": 1, "cost_usd": "0.25",
}  # fmt: skip
one_event = st.builds(
    event,
    st.sampled_from("abcdef"),
    cost=st.sampled_from(["0", "0.000000001", "2.5", "1000"]),
    revision=st.integers(0, 3),
    time=st.integers(START_MS - 30_000, START_MS + 30_000),
    tenant=st.sampled_from(["acme", "globex"]),
    user=st.sampled_from([None, "u1", "u2"]),
    model=st.sampled_from(["gpt-4o", "nobody-knows-this-model"]),
    replaces=st.sampled_from([None, None, REPLACED]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(one_event, st.integers(0, 3)), min_size=1, max_size=25), st.data())
def test_any_interleaving_in_any_slicing_gives_the_sums_of_the_latest_revisions(steps, data) -> None:
    clock, log = START_MS, []
    for offset, (value, minutes) in enumerate(steps):
        clock += minutes * 20_000
        log.append(Record(offset, clock, None, value))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=8)))
    sums, outcomes = latest_revisions(log, horizon_minutes=2)

    sliced = run(cutter(120), log, cuts)

    assert total(sliced)[:2] == (sums, outcomes)
    assert total(run(cutter(120), log))[:2] == (sums, outcomes)
    assert total(sliced)[2] == outcomes[Outcome.DEAD_LETTER]


@settings(max_examples=100, deadline=None)
@given(st.lists(one_event, min_size=2, max_size=20), st.data())
def test_a_cutter_rebuilt_from_ids_cuts_the_same_bytes(values, data) -> None:
    log = records(*values)
    cut = data.draw(st.integers(1, len(log) - 1))
    middle = data.draw(st.integers(0, cut))
    first = cutter()
    before = run(first, log[:cut], [middle])
    clocks = {"record_ms": first.record_ms, "event_ms": first.event_ms}

    rebuilt = cutter(position=first.position, **clocks)
    rebuilt.restore(decode_ids(result.ids) for result in before)
    by_offset = {record.offset: record for record in log}
    drafts = [c.draft(log[cut:]) for c in (first, rebuilt)]
    again = [
        c.cut(d, {o: by_offset[o] for o in d.wanted}) for c, d in zip((first, rebuilt), drafts, strict=True)
    ]

    assert again[0].blocks == again[1].blocks
    assert again[0].ids == again[1].ids
    assert again[0].letters == again[1].letters


@settings(max_examples=100, deadline=None)
@given(st.lists(one_event, min_size=2, max_size=20), st.data())
def test_a_cutter_that_remembers_records_counts_no_duplicate_of_them(values, data) -> None:
    """Where the ids expired, the events themselves are read again."""
    log = records(*values)
    whole, again = cutter(), cutter()
    run(whole, log)
    for start in range(0, len(log), 7):
        again.remember(log[start : start + 7])
    copies = records(*values, start=len(log))
    by_offset = {record.offset: record for record in [*log, *copies]}

    results = []
    for target in (whole, again):
        draft = target.draft(copies)
        results.append(target.cut(draft, {offset: by_offset[offset] for offset in draft.wanted}))

    assert (again.position, again.record_ms) == (whole.position, whole.record_ms)
    assert results[0].counts == results[1].counts
    assert sums_of(results[0].blocks) == sums_of(results[1].blocks)


def test_cutting_changes_nothing_until_the_slice_is_out() -> None:
    target, log = cutter(), records(event("a"), event("b"))

    results = [target.cut(target.draft(log), {}) for _ in range(2)]

    assert results[0].blocks == results[1].blocks
    assert results[0].counts == {Outcome.COUNTED: 2}
    target.advance(results[0])
    with pytest.raises(ValueError, match="slice starts at 0, not at 2"):
        target.advance(results[1])
    with pytest.raises(ValueError, match="offset 0 starts no slice at 2"):
        target.draft(log)


def test_a_correction_takes_out_what_was_counted_under_another_price_book() -> None:
    """A newer book would price the original otherwise; the index holds what was counted."""

    class Dearer(PriceBook):
        def cost(self, priced, entry):
            cost, unpriced = super().cost(priced, entry)
            return cost * 2, unpriced

    first = cutter()
    original = records(event("a", None))
    (counted,) = run(first, original)
    second = SliceCutter(3, Decoder((), 10**9, 10**9, Dearer()), "dearer", Aggregator((), 4), 600, 1)
    second.restore([decode_ids(counted.ids)])

    draft = second.draft(records(event("a", "0", 1), start=1))
    corrected = second.cut(draft, {0: original[0]})

    assert draft.wanted == {0}
    sums = sums_of([*counted.blocks, *corrected.blocks])
    assert sums["tenant", "acme", START_MS // 10_000 * 10][:2] == (1, 0)


def test_an_unpriced_call_is_taken_out_with_its_estimate() -> None:
    model = "nobody-knows-this-model"
    log = records(event("a", None, model=model), event("a", "3", 1, model=model))

    results = run(cutter(), log, [1])

    assert [r.unpriced for r in results] == [1, 0]
    sums = sums_of([b for r in results for b in r.blocks])["model", model, START_MS // 10_000 * 10]
    assert sums[:4] == (1, 3 * 10**9, 0, 0)


def test_a_revision_of_an_unknown_id_is_a_dead_letter_with_its_bytes() -> None:
    (result,) = run(cutter(), records(event("a", "1", 2), start=7))

    (letter,) = result.letters
    assert (letter.reason, letter.path, letter.source, letter.offset) == (
        Reason.ORIGINAL_UNKNOWN,
        "revision",
        3,
        7,
    )
    assert letter.original == event("a", "1", 2)
    assert result.counts == {Outcome.DEAD_LETTER: 1}


def test_a_correction_whose_original_left_the_topic_is_a_dead_letter() -> None:
    target = cutter()
    run(target, records(event("a")))

    result = target.cut(target.draft(records(event("a", "2", 1), start=1)), {})

    assert [letter.reason for letter in result.letters] == [Reason.ORIGINAL_UNKNOWN]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.EMPTY),
        (b"", Reason.EMPTY),
        (b"{", Reason.MALFORMED_JSON),
        (b"\xff", Reason.INVALID_UTF8),
        (b'"' + b"x" * EVENT_BYTES_MAX + b'"', Reason.TOO_LARGE),
        ((b'{"id": "\\ud800", "time": 1764000000, "tenant": "t", "feature": "f", "model": "m", "input_tokens": 1,'
         b' "output_tokens": 1}'), Reason.MALFORMED_JSON),
    ],
)  # fmt: skip
def test_a_bad_record_is_a_dead_letter_and_its_neighbours_count(value, reason) -> None:
    (result,) = run(cutter(), records(event("a"), value, event("b")))

    assert [(letter.reason, letter.offset, letter.original) for letter in result.letters] == [
        (reason, 1, value or b"")
    ]
    assert result.counts == {Outcome.COUNTED: 2, Outcome.DEAD_LETTER: 1}


def test_blocks_say_where_the_slice_stood() -> None:
    log = [
        Record(5, START_MS + 9, None, event("a", time=START_MS + 2)),
        Record(8, START_MS, None, event("b")),
    ]

    (result,) = run(cutter(position=4), log)

    blocks = [decode_block(data) for data in result.blocks]
    assert len(blocks) == 4
    assert {(b.source, b.a, b.b, b.record_ms, b.event_ms) for b in blocks} == {
        (3, 4, 9, START_MS + 9, START_MS + 2)
    }
    assert {(b.history, b.price_version) for b in blocks} == {(False, BOOK.version)}


def test_a_slice_of_dead_letters_still_has_every_block() -> None:
    (result,) = run(cutter(), records(b"x"))

    assert [decode_block(data).rows for data in result.blocks] == [()] * 4
    assert decode_ids(result.ids).hashes == b""


def test_history_and_live_records_never_share_a_slice() -> None:
    history = {"headers": ((MODE_HEADER, HISTORY),)}
    log = records(event("a"), event("b"), **history) + records(event("c"), start=2)

    assert (homogeneous(log), homogeneous(log[2:])) == (2, 1)
    with pytest.raises(ValueError, match="starts no slice"):
        cutter().draft(log)
    results = run(cutter(), log, [2])
    assert [decode_block(r.blocks[0]).history for r in results] == [True, False]


def test_without_append_times_event_time_is_the_clock() -> None:
    late = START_MS + 20 * MINUTE_MS
    log = records(event("a"), event("b", time=late), event("a"), event("b", time=late), at_ms=-1)

    (result,) = run(cutter(), log)

    assert result.counts == {Outcome.COUNTED: 3, Outcome.DUPLICATE: 1}
    assert result.record_ms == late


def test_a_slice_beyond_one_message_must_be_cut_smaller(monkeypatch) -> None:
    monkeypatch.setattr(slices, "MESSAGE_BYTES_MAX", 20_000)
    target, log = cutter(), records(*(event(f"e{i}", user=f"{'u' * 250}{i}") for i in range(400)))

    with pytest.raises(SliceTooLargeError):
        target.cut(target.draft(log), {})
    assert target.cut(target.draft(log[:20]), {}).counts == {Outcome.COUNTED: 20}


def test_one_record_beyond_one_message_is_a_dead_letter(monkeypatch) -> None:
    monkeypatch.setattr(slices, "MESSAGE_BYTES_MAX", 20_000)
    many = [json.loads(event(f"e{i}", user=f"{'u' * 250}{i}")) for i in range(400)]

    (result,) = run(cutter(), records(json.dumps(many).encode()))

    assert [letter.reason for letter in result.letters] == [Reason.TOO_LARGE]
    assert result.counts == {Outcome.DEAD_LETTER: 1}
