"""Cost changes in the decider: verdicts that an older release wrote, into the log or a checkpoint, have none and are read."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from tests.unit.decide.decider_log import USD, Story, killer, part

from tokenfuse.contracts.signal import CostChange, DriverPart, Verdict, decode_signal, encode_signal
from tokenfuse.decide.decider.state import decode_rows, decode_state, encode_state

PROMPT = (DriverPart("prompt", 5),)


def test_a_signal_without_a_cost_change_is_read() -> None:
    verdict = Verdict(
        partition=0, offset=1, index=0, rule="r", scope="tenant=acme", state="breach", at_ms=1, starts_ms=0, value=2.0,
        threshold=1.0, driver="prompt", drivers=PROMPT, cost_change=CostChange(0, 1, 6, 1),
    )  # fmt: skip
    fields = json.loads(encode_signal(verdict))
    assert fields.pop("cost_change") == {"starts_ms": 0, "ends_ms": 1, "spent_nanousd": 6, "usual_nanousd": 1}

    assert decode_signal(json.dumps(fields).encode()) == msgspec.structs.replace(verdict, cost_change=None)


def test_no_contributor_has_more_dollars_than_there_are() -> None:
    """A user's are told from all that it ever spent."""
    story = Story([killer()])
    who = (part("tenant", "acme", 500.0),)
    story.verdict("killer", "user=ann", usd=1.0, contributors=who, cost_change=CostChange(0, 1, 6 * USD, USD))
    story.verdict("killer", "user=ben", usd=1.0, contributors=who)
    story.wait(60)

    told = {alert.scope["user"]: alert.contributors[0].usd for alert in story.alerts()}
    assert told == {"ann": "6", "ben": "500"}


def test_a_checkpoint_without_cost_changes_is_read() -> None:
    story = Story([killer()])
    story.verdict("killer", "tenant=acme", drivers=PROMPT, cost_change=CostChange(0, 1, 6, 1))
    state = decode_rows(story.core.snapshot())
    older: dict[str, Any] = msgspec.msgpack.decode(encode_state(state))
    for alert in older["alerts"].values():
        del alert["evidence"]["cost_change"]
    read = decode_state(msgspec.msgpack.encode(older))

    assert [alert.evidence.drivers for alert in read.alerts.values()] == [PROMPT]
    assert [alert.evidence.cost_change for alert in read.alerts.values()] == [None]
    assert decode_state(encode_state(state)) == state
