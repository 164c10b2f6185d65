"""Any interleaving of owners, crashes and zombies leaves a changelog from which the exact state comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings, strategies as st
from tests.integration.statelog_worker import SumsCore, SumsFactory

from tokenfuse.runtime.statelog.ledger import Ledger
from tokenfuse.runtime.statelog.recovery import IncompleteCheckpointError, by_partition, newest_checkpoint
from tokenfuse.runtime.statelog.rows import head_key, row_key

if TYPE_CHECKING:
    from collections.abc import Iterator

# Few scopes, so that rows are written again and again; panes that expire, so that rows end.
INPUT = [
    json.dumps({"pane": offset // 2, "amounts": {f"s{offset * 7 % 5}": offset + 1}}).encode()
    for offset in range(400)
]


def truth(offset: int) -> dict[str, object]:
    core = SumsCore(0, "")
    for at in range(offset + 1):
        core.apply(at, INPUT[at])
    return core.state()


TRUTH = [truth(offset) for offset in range(-1, 120)]


@dataclass
class OwnerModel:
    """One incarnation; it goes on writing whatever the others do, as a zombie would."""

    core: SumsCore
    ledger: Ledger
    next_offset: int
    steps: Iterator[None] | None = None

    def apply(self, count: int) -> None:
        for _ in range(count):
            if self.next_offset < len(TRUTH) - 1:
                self.core.apply(self.next_offset, INPUT[self.next_offset])
                self.next_offset += 1


@dataclass
class Model:
    """A changelog partition, compacted at once, and everybody who ever owned the input partition."""

    changelog: dict[bytes, bytes | None] = field(default_factory=dict)
    owners: list[OwnerModel] = field(default_factory=list)
    incarnations: int = 0

    def recover(self) -> OwnerModel:
        checkpoint = newest_checkpoint(by_partition(self.changelog.items()).get(0, {}))
        factory = SumsFactory("")
        core = (
            factory.restore(0, checkpoint.head, checkpoint.rows)
            if checkpoint.offset >= 0
            else factory.empty(0)
        )
        assert core.state() == TRUTH[checkpoint.offset + 1]
        self.incarnations += 1
        ledger = Ledger(0, f"i{self.incarnations}", set(checkpoint.rows), checkpoint.keys)
        return OwnerModel(core, ledger, checkpoint.offset + 1)

    def take_over(self) -> None:
        self.owners.append(self.recover())

    def checkpoint(self, owner: OwnerModel) -> Iterator[None]:
        """One record at a time: everything may happen between any two."""
        cut = owner.ledger.cut(owner.next_offset - 1, owner.core)
        for key, value in cut.rows:
            yield self._write(key, value)
        yield self._write(*cut.head)
        for key in cut.obsolete:
            yield self._write(key, None)

    def _write(self, key: bytes, value: bytes | None) -> None:
        self.changelog[key] = value

    def step(self, owner: OwnerModel) -> None:
        if owner.steps is None:
            owner.steps = self.checkpoint(owner)
        if next(owner.steps, "done") == "done":
            owner.steps = None


ACTIONS = st.tuples(st.sampled_from(["take_over", "apply", "write", "write", "write"]), st.integers(0, 30))


@settings(max_examples=300, deadline=None)
@given(st.lists(ACTIONS, max_size=200))
def test_every_prefix_of_every_interleaving_recovers_exactly(actions: list[tuple[str, int]]) -> None:
    model = Model()
    model.take_over()
    for action, number in actions:
        owner = model.owners[-1 - number % min(3, len(model.owners))]
        match action:
            case "take_over":
                model.take_over()
            case "apply":
                owner.apply(number % 8 + 1)
            case _:
                for _ in range(number + 1):
                    model.step(owner)
        model.recover()


def checkpointed(model: Model, owner: OwnerModel, messages: int) -> None:
    owner.apply(messages)
    for _ in model.checkpoint(owner):
        pass


def test_a_checkpoint_that_was_never_finished_leaves_the_one_before_it() -> None:
    model = Model()
    model.take_over()
    checkpointed(model, model.owners[0], 10)
    model.owners[0].apply(5)
    steps = model.checkpoint(model.owners[0])

    for _ in range(3):  # three rows of the next checkpoint, no head
        next(steps)

    assert model.recover().next_offset == 10


def test_a_zombies_head_over_rows_that_its_successor_deleted_is_passed_over() -> None:
    """It was stopped between its rows and its head, a successor that is behind it took over and cleaned up."""
    model = Model()
    model.take_over()
    zombie = model.owners[0]
    checkpointed(model, zombie, 10)
    zombie.apply(20)
    cut = zombie.ledger.cut(29, zombie.core)
    model.changelog.update(cut.rows)
    model.take_over()
    checkpointed(model, model.owners[1], 3)

    model.changelog.update([cut.head])

    assert model.recover().core.state() == TRUTH[13]


def test_a_successors_first_checkpoint_writes_every_row_under_its_own_incarnation() -> None:
    model = Model()
    model.take_over()
    checkpointed(model, model.owners[0], 30)
    model.take_over()
    successor = model.owners[1]
    successor.apply(1)

    cut = successor.ledger.cut(successor.next_offset - 1, successor.core)

    assert {key.split(b"|")[3] for key, _ in cut.rows} == {row.encode() for row in successor.core.rows}
    assert {key.split(b"|")[1] for key, _ in cut.rows} == {b"i2"}
    assert set(cut.obsolete) >= {key for key, value in model.changelog.items() if value is not None}


def test_a_row_alternates_between_two_slots() -> None:
    ledger, core = Ledger(0, "i"), SumsCore(0, "")
    keys = []
    for offset in range(4):
        core.apply(offset, INPUT[0])
        keys.append(next(key for key, _ in ledger.cut(offset, core).rows if b"scope" in key))

    assert keys == [row_key(0, "i", slot, keys[0].decode().split("|")[3]) for slot in (0, 1, 0, 1)]


def test_a_lost_row_is_noticed() -> None:
    """If recovery drops a record, state must not come back without it."""
    model = Model()
    model.take_over()
    checkpointed(model, model.owners[0], 10)
    values = by_partition(model.changelog.items())[0]
    lost = next(key for key in values if b"scope" in key)

    with pytest.raises(IncompleteCheckpointError, match="no head with all its rows"):
        newest_checkpoint({key: value for key, value in values.items() if key != lost})


def test_rows_without_a_head_are_no_checkpoint() -> None:
    model = Model()
    model.take_over()
    checkpointed(model, model.owners[0], 10)
    values = by_partition(model.changelog.items())[0]
    del values[head_key(0, "i1")]

    assert newest_checkpoint(values).offset == -1
