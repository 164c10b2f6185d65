from __future__ import annotations

import json

import numpy as np
from benchmarks.speed import truth
from benchmarks.speed.contenders.columns import Horizon, Job
from benchmarks.speed.contenders.common import decode
from benchmarks.speed.contenders.plain import PlainJob
from benchmarks.speed.events import Feed, messages
from tests.support.blocks import expected_sums

from tokenfuse.contracts.axes import GLOBAL
from tokenfuse.contracts.measures import INDEX
from tokenfuse.ingest.decode import Decoder
from tokenfuse.pricing.book import PriceBook

FEED = Feed(3_000, events_per_second=100)


def values():
    return [value for _, value in messages(FEED)]


def test_the_truth_is_what_the_obvious_sum_over_decoded_events_says():
    decoder, once = Decoder((), 10**10, 10**10, PriceBook()), dict.fromkeys(values())
    calls = [call for value in once for call in decoder.decode(value, (), None)]
    columns = [INDEX[name] for name in truth.MEASURES]
    slow = {
        key: tuple(sums[column] for column in columns)
        for key, sums in expected_sums(calls).items()
        if key[0] != GLOBAL
    }
    assert truth.totals(truth.once(truth.read(FEED))) == slow


def test_the_peers_jobs_sum_to_the_truth_in_batches_of_any_size():
    expected = truth.totals(truth.once(truth.read(FEED)))
    for job in (Job(decode), Job(decode, lean=True), PlainJob(decode)):
        for start in range(0, FEED.count, 700):
            job.take(values()[start : start + 700])
        assert truth.differences(job.totals(), expected) == []


def test_a_wrong_sum_is_named():
    expected = truth.totals(truth.read(FEED))
    wrong = dict(expected)
    key = next(iter(wrong))
    wrong[key] = tuple(np.add(wrong[key], 1).tolist())
    del wrong[next(reversed(wrong))]
    assert len(truth.differences(wrong, expected)) == 2


def test_the_peers_horizon_forgets_ids_and_not_too_early():
    event = json.loads(values()[0])

    def at(id_, time_ms):
        return decode(json.dumps(event | {"id": id_, "time": time_ms}).encode())

    horizon = Horizon()
    assert len(horizon.fresh([at("a", 0), at("a", 1)])) == 1
    assert horizon.fresh([at("b", 600_000), at("a", 600_000)])[0].id == "b"
    horizon.fresh([at("c", 1_300_000)])
    horizon.fresh([at("d", 2_000_000)])
    assert len(horizon.fresh([at("a", 2_000_001)])) == 1
