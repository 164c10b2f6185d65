"""What the publisher promises its caller without any broker: it never waits, and never loses an event unseen."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

import pytest

from tokenfuse.contracts.event import CostEvent, decode_event
from tokenfuse.contracts.topics import EVENT_BYTES_MAX
from tokenfuse.gateway import BlockingPublisher, DropReason, InvalidEventError, Publisher
from tokenfuse.gateway.publisher import as_event

NOWHERE = "127.0.0.1:1"
FIELDS = {"tenant": "acme", "feature": "chat", "model": "gpt-4o", "input_tokens": 10, "output_tokens": 2}


def test_an_event_gets_an_id_and_a_time_where_it_has_none() -> None:
    first, second = as_event(FIELDS), as_event(FIELDS)

    assert first.id != second.id
    assert isinstance(first.time, str)
    assert (
        as_event({**FIELDS, "id": "mine", "time": datetime(2026, 1, 1, tzinfo=UTC)}).time
        == "2026-01-01T00:00:00+00:00"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"input_tokens": -1}, "input_tokens"),
        ({"input_tokens": "10"}, "input_tokens"),
        ({"tenant": ""}, "tenant"),
        ({"tenant": None}, "tenant"),
        ({"cost_usd": float("nan")}, "cost_usd"),
        ({"cache_read_tokens": 11}, "cache_read_tokens"),
        ({"tennant": "acme"}, "tennant"),
    ],
)
def test_what_is_no_event_is_refused_with_its_field(change, says) -> None:
    publisher = Publisher(NOWHERE)

    with pytest.raises(InvalidEventError, match=says):
        publisher.publish({**FIELDS, **change})
    assert publisher.queued == 0


async def test_a_full_queue_drops_the_newest_and_says_so_once_a_minute(caplog) -> None:
    dropped = []
    publisher = Publisher(
        NOWHERE, queue_events_max=2, on_drop=lambda reason, value: dropped.append((reason, value))
    )
    await publisher.start()

    with caplog.at_level(logging.ERROR, "tokenfuse.gateway.publisher"):
        taken = [publisher.publish({**FIELDS, "id": f"e{n}"}) for n in range(5)]

    assert taken == [True, True, False, False, False]
    assert [(reason, decode_event(value).id) for reason, value in dropped] == [
        (DropReason.QUEUE_FULL, "e2"),
        (DropReason.QUEUE_FULL, "e3"),
        (DropReason.QUEUE_FULL, "e4"),
    ]
    assert publisher.dropped == {DropReason.QUEUE_FULL: 3}
    assert len(caplog.records) == 1
    await publisher.close(0)


async def test_what_is_unsent_at_the_close_is_counted_and_later_events_are_refused() -> None:
    publisher = Publisher(NOWHERE)
    await publisher.start()
    publisher.publish(FIELDS)

    async with asyncio.timeout(20):
        await publisher.close(0)

    assert not publisher.publish(FIELDS)
    assert publisher.dropped == {DropReason.CLOSED: 2}
    assert publisher.queued == 0


def test_an_event_that_is_too_large_is_not_queued() -> None:
    publisher = Publisher(NOWHERE)
    labels = {f"l{n}": "x" * (EVENT_BYTES_MAX // 8) for n in range(9)}

    assert not publisher.publish({**FIELDS, "labels": labels})
    assert publisher.dropped == {DropReason.TOO_LARGE: 1}


def test_a_program_without_a_loop_publishes_and_ends() -> None:
    publisher = Publisher(NOWHERE)

    with BlockingPublisher(publisher) as blocking:
        assert blocking.publish(CostEvent(id="e", time=1_764_000_000, **FIELDS))

    assert publisher.dropped == {DropReason.CLOSED: 1}
