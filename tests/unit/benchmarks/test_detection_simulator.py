"""The simulator: labels are the difference of run and counterfactual, and the same seed gives the same calls."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from benchmarks.detection import company, events, labels, simulate
from benchmarks.detection.clock import JUDGED_MS
from benchmarks.detection.incidents import KINDS, PER_KIND

from tokenfuse.contracts.event import decode_event
from tokenfuse.contracts.money import NANO
from tokenfuse.pricing.book import PriceBook

CALLS = 200_000


@pytest.fixture(scope="module")
def simulated():
    return simulate.both(company.found(1), CALLS)


def test_the_excess_of_all_incidents_is_the_difference_of_run_and_counterfactual(simulated):
    base, run, found = simulated

    assert sum(label.excess_nanousd for label in found.incidents) == run["cost"].sum() - base["cost"].sum()
    for label in found.incidents:
        assert sum(label.minutes) == label.excess_nanousd == sum(part.excess_nanousd for part in label.parts)


def test_calls_that_no_incident_touched_are_the_same_in_both(simulated):
    base, run, _ = simulated
    untouched = run[: len(base)]["incident"] < 0

    assert (run[: len(base)][untouched] == base[untouched]).all()
    assert (run["incident"][len(base) :] >= 0).all()


def test_nothing_happens_in_the_learned_weeks(simulated):
    base, run, found = simulated

    assert all(label.start_ms >= JUDGED_MS for label in (*found.incidents, *found.harmless))
    assert (run["time_ms"] < JUDGED_MS).sum() == (base["time_ms"] < JUDGED_MS).sum()


def test_every_kind_occurs_and_no_two_incidents_share_a_cell_at_the_same_time(simulated):
    _, _, found = simulated
    kinds = [label.kind for label in found.incidents]

    assert len(kinds) >= PER_KIND * len(KINDS) - 6  # few calls leave few scopes that are large enough
    for i, one in enumerate(found.incidents):
        for other in found.incidents[:i]:
            both = {(p.tenant, p.feature) for p in one.parts if p.inside} & {
                (p.tenant, p.feature) for p in other.parts if p.inside
            }
            assert not both or one.start_ms > other.end_ms or other.start_ms > one.end_ms


def test_the_same_seed_gives_the_same_calls_and_another_one_does_not(simulated):
    base, run, _ = simulated
    again_base, again_run, _ = simulate.both(company.found(1), CALLS)

    assert (base == again_base).all()
    assert (run == again_run).all()
    assert len(simulate.both(company.found(2), CALLS)[0]) != len(base)


def test_seeds_to_report_on_share_no_client_with_the_others():
    own = {(c.client.kind, c.client.name) for seed in (1, 2, 3) for c in company.found(seed).cells}
    held_out = {(c.client.kind, c.client.name) for seed in (101, 102) for c in company.found(seed).cells}

    assert not own & held_out


def test_events_are_canonical_and_cost_what_the_calls_cost(simulated):
    _, run, _ = simulated
    some = run[np.r_[0:300, -300:0]]
    book = PriceBook()

    for row, call in zip(events.rows(company.found(1), some), some, strict=True):
        event = decode_event(msgspec.json.encode(events.Event(*row)))
        assert event.cost_usd is not None
        assert event.cost_usd * NANO == int(call["cost"])
        if call["incident"] < 0:
            priced = msgspec.structs.replace(event, cost_usd=None)
            assert book.price(priced, int(call["time_ms"])).cost_nanousd == int(call["cost"])


def test_labels_come_back_from_their_file(simulated, tmp_path):
    _, _, found = simulated
    labels.write(tmp_path / "labels.json", found)

    assert labels.read(tmp_path / "labels.json") == found


def test_what_an_incident_says_that_it_does_is_done(simulated):
    base, run, found = simulated
    seen = set()
    for label in found.incidents:
        number = label.incident
        mine = run["incident"][: len(base)] == number
        before, after = base[mine], run[: len(base)][mine]
        extra = run[len(base) :][run["incident"][len(base) :] == number]
        seen.add(label.kind)
        match label.kind:
            case "prompt_step":
                assert (after["input"] - before["input"] <= 600).all()
                assert np.median(after["input"] - before["input"]) == 600
            case "cache_drop":
                hits = before["cached"] > 0
                assert 0.05 < (after["cached"][hits] > 0).mean() < 0.35
            case "output_double":
                assert (after["output"] == np.minimum(2 * before["output"].astype(int), 32_000)).all()
            case "retry_storm":
                retries = (after["attempt"] > 1).sum() + len(extra)
                assert 0.1 < retries / (len(after) + len(extra)) < 0.4
            case "price":
                assert after["cost"].sum() == pytest.approx(1.5 * before["cost"].sum(), rel=1e-6)
            case "agent_loop":
                assert len(extra) == label.settings["steps"]
                assert len(np.unique(extra["signature"])) <= 3
            case "fan_out":
                starts = [
                    extra["time_ms"][extra["run"] == r].min()
                    for r in np.unique(extra["run"][extra["depth"] == 1])
                ]
                assert len(starts) == 200
                assert max(starts) - min(starts) < 70_000
    assert {"prompt_step", "price", "agent_loop", "fan_out"} <= seen
