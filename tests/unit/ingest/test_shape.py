"""The narrow struct is learned from the messages and left aside where it does not fit; what comes out is the same."""

from __future__ import annotations

import json

import msgspec
import pytest

from tokenfuse.ingest.shape import EVERYTHING, WAIT_MAX, Shapes

BASE = {
    "id": "e-1",
    "time": 1,
    "tenant": "t",
    "feature": "f",
    "model": "m",
    "input_tokens": 1,
    "output_tokens": 2,
}
REQUIRED = set(BASE)


def message(**fields: object) -> bytes:
    return json.dumps({**BASE, **fields}).encode()


def test_the_fields_of_the_messages_are_learned_in_the_order_in_which_they_are_written() -> None:
    shapes = Shapes()
    values = [message(user="u", region="eu"), message(user="u", team="a", region="eu")]
    shapes.decoded(values)

    shape, events = shapes.decoded(values)

    assert shape.names == (*BASE, "user", "team", "region")
    assert [(event.user, event.team, event.region) for event in events] == [
        ("u", None, "eu"),
        ("u", "a", "eu"),
    ]


def test_a_field_that_comes_later_is_not_lost() -> None:
    shapes = Shapes()
    for _ in range(2):
        shapes.decoded([message()])

    shape, events = shapes.decoded([message(), message(run_id="r")])

    assert [event.run_id for event in events] == [None, "r"]
    assert shape is EVERYTHING
    assert shapes.decoded([message(run_id="r")])[0].names == (*BASE, "run_id")


def test_messages_that_no_narrow_struct_takes_are_tried_ever_more_seldom_and_it_is_used_again_when_they_are_gone() -> (
    None
):
    shapes, foreign, plain = Shapes(), [message(surplus=1)], [message()]
    shapes.decoded(plain)
    for _ in range(2 * WAIT_MAX):
        assert shapes.decoded(foreign)[0] is EVERYTHING
    waited = next(number for number in range(WAIT_MAX + 1) if shapes.decoded(plain)[0] is not EVERYTHING)

    assert waited > WAIT_MAX // 4
    assert all(shapes.decoded(plain)[0] is not EVERYTHING for _ in range(3))


@pytest.mark.parametrize("broken", [message()[:-1], b"[]", message(user=5), message(labels={"a": 1})])
def test_what_is_no_canonical_event_is_declined_before_and_after_learning(broken: bytes) -> None:
    shapes = Shapes()
    for _ in range(3):
        with pytest.raises(msgspec.DecodeError):
            shapes.decoded([message(user="u"), broken])
        shapes.decoded([message(user="u", labels={})])


def test_text_that_is_no_utf_8_is_declined_in_every_field() -> None:
    shapes = Shapes()
    good = message(region="eu", labels={"a": "b"})
    shapes.decoded([good])
    assert shapes.decoded([good])[0] is not EVERYTHING

    for text in (b"eu", b'"a"', b'"b"'):
        broken = good.replace(text, text[:1] + b"\xff" + text[1:])
        with pytest.raises((msgspec.DecodeError, UnicodeError)):
            shapes.decoded([broken])
