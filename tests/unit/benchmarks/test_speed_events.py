from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
from benchmarks.speed.events import Feed, chunks, messages

from tokenfuse.ingest.decode import Decoder
from tokenfuse.pricing.book import PriceBook

FEED = Feed(60_000)


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others():
    first, again = list(messages(Feed(3_000))), list(messages(Feed(3_000)))
    assert first == again
    assert first != list(messages(Feed(3_000, seed=2)))


def test_a_longer_feed_begins_like_a_shorter_one():
    longer = itertools.islice(messages(FEED), 2_000)
    assert list(messages(Feed(2_000))) == list(longer)


def test_events_have_the_stated_size_and_ingest_takes_and_prices_every_one():
    values = [value for _, value in messages(Feed(5_000))]
    assert 540 < np.mean([len(value) for value in values]) < 600
    decoder = Decoder((), 10**10, 10**10, PriceBook())
    for value in values:
        (call,) = decoder.decode(value, (), None)
        assert not call.unpriced
        assert call.cost_nanousd > 0


def test_keys_are_tenants_so_repeats_meet_in_one_partition():
    for key, value in messages(Feed(1_000)):
        assert json.loads(value)["tenant"].encode() == key


def test_one_message_in_a_hundred_is_an_earlier_one_again_byte_for_byte():
    numbers = np.concatenate([chunk.number for chunk in chunks(FEED)])
    repeats = 1 - len(np.unique(numbers)) / len(numbers)
    assert 0.005 < repeats < 0.015
    seen = {}
    for _, value in messages(FEED):
        event = json.loads(value)
        assert seen.setdefault(event["id"], value) == value


def test_a_whale_takes_its_share():
    (chunk,) = chunks(dataclasses.replace(FEED, count=10_000, whale=0.99))
    assert (chunk.tenant == 0).mean() > 0.98
