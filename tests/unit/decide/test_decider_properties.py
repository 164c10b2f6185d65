"""What holds for every log: replays, restarts, and the invariants of alerts and switches."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings, strategies as st
from tests.unit.decide.decider_log import PARTITIONS, USD, Story, cap, killer, part, spike

from tokenfuse.contracts.alert import Alert
from tokenfuse.contracts.clock import from_rfc3339, to_rfc3339
from tokenfuse.contracts.formats import UnknownFormatError
from tokenfuse.contracts.killswitch import HEARTBEAT, Switch
from tokenfuse.contracts.ruleset import Response
from tokenfuse.contracts.scope import fingerprint
from tokenfuse.contracts.signal import Signal
from tokenfuse.decide.decider import DeciderCore, Outputs
from tokenfuse.decide.decider.state import AlertRecord, encode_state
from tokenfuse.decide.decider.timers import PROMOTION_WAIT_MS

RULES = {
    "killer": killer(keep_firing_for_seconds=30),
    "second": killer("second", window="day", response=Response(action="throttle", ttl_seconds=60)),
    "trial": killer("trial", mode="shadow", for_seconds=20),
    "budget": cap("budget", window="day", severity="ticket"),
    "spike": spike(),
    "users": spike("users", axis="user"),
}
SCOPES = {"users": ["user=u1", "user=u2", "user=u3"]}
SWITCHES_MAX = 2

Step = Callable[[Story], object]


@st.composite
def verdicts(draw: st.DrawFn) -> Step:
    rule = draw(st.sampled_from(sorted(RULES)))
    scope = draw(st.sampled_from(SCOPES.get(rule, ["tenant=a", "tenant=b", "tenant=c"])))
    state = draw(st.sampled_from(["breach", "breach", "update", "clear"]))
    usd = draw(st.sampled_from([0.0, 0.5, 1.0, 40.0]))
    tenant = draw(st.sampled_from("abc"))
    named = (part("tenant", tenant, usd),) if rule == "users" else (part("user", "u1", usd / 2),)
    window_s = draw(st.sampled_from([None, 30, 300]))

    def step(story: Story) -> object:
        until_ms = None if window_s is None else story.now_ms + window_s * 1000
        partition = int(fingerprint("", scope), 16) % PARTITIONS
        # Spikes say times the usual, caps dollars.
        times = {"value": 3.0 + usd, "threshold": 3.0} if rule in ("spike", "users") else {}
        return story.verdict(
            rule, scope, state, usd, partition=partition, contributors=named, until_ms=until_ms, **times
        )

    return step


@st.composite
def commands(draw: st.DrawFn) -> Step:
    kind = draw(st.sampled_from(["engage", "release", "silence", "unsilence", "ack", "bad"]))
    scope = {"tenant": draw(st.sampled_from("abc"))}
    name = draw(st.sampled_from([fingerprint("killer", "tenant=a"), fingerprint("users", "user=u1")]))
    if kind == "bad":
        return lambda story: story.command("engage", scope=scope)
    return lambda story: story.command(kind, scope=scope, fingerprint=name, ttl_seconds=45)


@st.composite
def rule_sets(draw: st.DrawFn) -> Step:
    names = draw(st.sets(st.sampled_from(sorted(RULES)), min_size=3))
    return lambda story: story.use(*(RULES[name] for name in sorted(names)))


@st.composite
def expectations(draw: st.DrawFn) -> Step:
    """Planned changes that begin and end within the story, and feedback on any alert."""
    rule = draw(st.sampled_from(["spike", "users", "trial", "killer", "budget"]))
    name = fingerprint(rule, draw(st.sampled_from(SCOPES.get(rule, ["tenant=a", "tenant=b"]))))
    kind = draw(st.sampled_from(["announce", "cancel", "feedback", "feedback"]))
    if kind == "feedback":
        what = draw(st.sampled_from(["expected", "false_alarm"]))
        return lambda story: story.command("feedback", fingerprint=name, feedback=what)
    change = draw(st.sampled_from(["one", "two"]))
    if kind == "cancel":
        return lambda story: story.command("cancel", change=change)
    factor = draw(st.sampled_from([1.0, 2.0, 10.0, 100.0]))
    tenant, starts_s, length_s = (
        draw(st.sampled_from("ab")),
        draw(st.integers(-10, 30)),
        draw(st.integers(20, 90)),
    )

    def announce(story: Story) -> object:
        starts_ms = story.now_ms + starts_s * 1000
        return story.command(
            "announce", id=change, scope={"tenant": tenant}, factor=factor, starts_at=to_rfc3339(starts_ms),
            ends_at=to_rfc3339(starts_ms + length_s * 1000),
        )  # fmt: skip

    return announce


waits = st.sampled_from([0.5, 1, 5, 10, 20, 60, 61, 400]).map(lambda s: lambda story: story.wait(s))
ticks = st.integers(0, PARTITIONS - 1).map(lambda p: lambda story: story.tick(p))
steps = st.lists(
    st.one_of(
        verdicts(), verdicts(), verdicts(), waits, waits, commands(), expectations(), rule_sets(), ticks
    ),
    max_size=50,
)


def told(steps_taken: list[Step]) -> Story:
    story = Story(list(RULES.values()), switches_max=SWITCHES_MAX)
    for step in steps_taken:
        step(story)
    return story


def written(outputs: list[Outputs]) -> bytes:
    """All that reaches a topic, as bytes."""
    return msgspec.json.encode(
        [(out.alerts, out.switches, [c.body for c in out.controls], out.expectations) for out in outputs]
    )


def read(core: DeciderCore, log: list[tuple[int, Signal]]) -> list[Outputs]:
    return [core.apply(offset, signal) for offset, signal in log]


@settings(max_examples=150, deadline=None)
@given(steps, st.data())
def test_a_restart_anywhere_changes_no_byte(steps_taken, data) -> None:
    story = told(steps_taken)
    cut = data.draw(st.integers(0, len(story.log)))
    first = DeciderCore(PARTITIONS)
    before = read(first, story.log[:cut])
    second = DeciderCore.restore(first.snapshot(), PARTITIONS)
    assert first.snapshot() == second.snapshot()

    after = read(second, story.log[cut:])
    assert written(before + after) == written(story.said)
    assert second.snapshot() == story.core.snapshot()


@settings(max_examples=100, deadline=None)
@given(steps, st.data())
def test_signals_that_are_said_again_change_nothing(steps_taken, data) -> None:
    """A worker that takes a partition over says again what it finds after its checkpoint."""
    story = told(steps_taken)
    once, again = DeciderCore(PARTITIONS), DeciderCore(PARTITIONS)
    for n, (_, signal) in enumerate(story.log):
        expected = once.apply(10 * n, signal)
        assert written([expected]) == written([again.apply(10 * n, signal)])
        first = data.draw(st.integers(0, n)) if n % 3 == 0 else n
        for k, (_, old) in enumerate(story.log[max(first, n - 5) : n + 1]):
            repeated = again.apply(10 * n + k + 1, old)
            assert written([Outputs()]) == written([repeated])
            assert [refusal.reason.value for refusal in repeated.refused] == ["replayed"]


@settings(max_examples=200, deadline=None)
@given(steps)
def test_every_switch_ends_and_no_more_are_engaged_than_allowed(steps_taken) -> None:
    story = told(steps_taken)
    topic: dict[str, Switch] = {}
    generations: dict[str, int] = {}
    clock_ms = 0
    for (_, signal), out in zip(story.log, story.said, strict=True):
        clock_ms = max(clock_ms, getattr(signal, "now_ms", 0))
        for change in out.switches:
            assert change.generation > generations.get(change.key, -1)
            generations[change.key] = change.generation
            assert change.value is None or change.value.generation == change.generation
            if change.value is None:
                topic.pop(change.key, None)
            elif change.key != HEARTBEAT:
                topic[change.key] = change.value
        assert all(from_rfc3339(switch.expires_at) > clock_ms for switch in topic.values())
        by_rules = [switch for switch in topic.values() if switch.rule]
        assert sum(switch.mode == "enforce" for switch in by_rules) <= SWITCHES_MAX
    assert topic == story.core.engaged()
    story.wait(31 * 86_400)
    story.wait(3600)
    assert story.core.engaged() == {}


@settings(max_examples=200, deadline=None)
@given(steps)
def test_nothing_that_is_held_back_fires_or_is_a_limit(steps_taken) -> None:
    story = told(steps_taken)
    for alert in story.alerts():
        softened = alert.held is not None or alert.bar_factor is not None
        assert not (softened and alert.rule in ("killer", "second", "trial", "budget"))
        assert alert.held is None or alert.state in ("pending", "resolved")
    story.wait(86_400)
    story.wait(60 * 86_400)
    story.wait(60 * 86_400)
    topic = {each.key: each.value for out in story.said for each in out.expectations}
    assert set(topic.values()) <= {None}
    assert all(alert.held is None for alert in story.standing().values())


MOVES = {
    None: {"pending", "firing"},
    "pending": {"pending", "firing", "resolved"},
    "firing": {"firing", "resolved"},
    "resolved": {"pending", "firing"},
}


@settings(max_examples=200, deadline=None)
@given(steps)
def test_the_lifecycle_has_no_other_moves_and_its_numbers_grow(steps_taken) -> None:
    story = told(steps_taken)
    latest: dict[str, Alert] = {}
    for alert in story.alerts():
        before = latest.get(alert.fingerprint)
        assert alert.state in MOVES[before.state if before else None]
        if before:
            assert alert.seq > before.seq
            assert from_rfc3339(alert.at) >= from_rfc3339(before.at)
            assert alert.starts_at == before.starts_at or before.state == "resolved"
        latest[alert.fingerprint] = alert


KIN = {
    "all": (spike("all", axis="global"), ""),
    "tenants": (spike("tenants", for_seconds=20), "tenant=a"),
    "features": (spike("features", axis="feature", keep_firing_for_seconds=30), "feature=f"),
    "users": (spike("users", axis="user"), "user=u1"),
}


@st.composite
def kin_verdicts(draw: st.DrawFn) -> Step:
    """Verdicts on scopes that the same dollars flow through, so that anything may explain anything."""
    rule = draw(st.sampled_from(sorted(KIN)))
    state = draw(st.sampled_from(["breach", "breach", "clear"]))
    usd = draw(st.sampled_from([1.0, 2.0, 5.0]))
    names = draw(st.sets(st.sampled_from([("tenant", "a"), ("feature", "f"), ("user", "u1")]), min_size=1))
    named = tuple(part(axis, value, usd) for axis, value in sorted(names))
    partition = sorted(KIN).index(rule) % PARTITIONS
    scope = KIN[rule][1]
    return lambda story: story.verdict(rule, scope, state, usd, partition=partition, contributors=named)


kin_steps = st.lists(
    st.one_of(
        kin_verdicts(),
        kin_verdicts(),
        st.sampled_from([5, 20, 25]).map(lambda s: lambda story: story.wait(s)),
    ),
    min_size=10,
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_what_is_inhibited_is_explained_by_a_page_that_people_see(steps_taken) -> None:
    assert_nothing_stays_hidden(told(steps_taken))


@settings(max_examples=300, deadline=None)
@given(kin_steps)
def test_nothing_stays_hidden_among_alerts_that_explain_each_other(steps_taken) -> None:
    story = Story([rule for rule, _ in KIN.values()])
    for step in steps_taken:
        step(story)
    assert_nothing_stays_hidden(story)


def assert_nothing_stays_hidden(story: Story) -> None:
    """Not for longer than the minute after its page resolved, in which the child may be about to end too."""
    for _ in range(3):
        story.wait(61)
    core = DeciderCore(PARTITIONS)
    latest: dict[str, Alert] = {}
    hidden_since_ms: dict[str, int] = {}
    for offset, signal in story.log:
        latest |= {alert.fingerprint: alert for alert in core.apply(offset, signal).alerts}
        clocks = core._state.clocks
        hidden = {alert.fingerprint: clocks[alert.partition] for alert in hidden_alerts(core, latest)}
        hidden_since_ms = {each: hidden_since_ms.get(each, now_ms) for each, now_ms in hidden.items()}
        assert all(now_ms - hidden_since_ms[each] < PROMOTION_WAIT_MS for each, now_ms in hidden.items())


def hidden_alerts(core: DeciderCore, latest: dict[str, Alert]) -> list[AlertRecord]:
    """Alerts that fire and breach behind one that the topic does not show as a page."""
    pages = {each for each, alert in latest.items() if alert.state == "firing" and alert.inhibited_by is None}
    inhibited = [each for each in core._state.alerts.values() if each.state == "firing" and each.inhibited_by]
    return [alert for alert in inhibited if alert.breaching and alert.inhibited_by not in pages]


@settings(max_examples=100, deadline=None)
@given(steps)
def test_everything_resolves_when_every_rule_is_gone(steps_taken) -> None:
    story = told(steps_taken)
    story.use()
    story.wait(1)

    assert story.standing() == {}
    assert all(switch.rule is None for switch in story.core.engaged().values())


def test_a_checkpoint_of_a_newer_release_is_refused_by_name() -> None:
    newer = {"state": encode_state(msgspec.structs.replace(DeciderCore(1)._state, format=99))}

    with pytest.raises(
        UnknownFormatError, match="format 99, this release reads 1 to 2: run the release that wrote"
    ):
        DeciderCore.restore(newer, 1)


@pytest.mark.parametrize("data", [b"", b"nonsense"])
def test_a_damaged_checkpoint_is_refused(data) -> None:
    with pytest.raises((UnknownFormatError, msgspec.DecodeError)):
        DeciderCore.restore({"state": data}, 1)


def test_a_checkpoint_stays_small() -> None:
    story = Story([cap(limits={f"t{n}": USD for n in range(5_000)})])
    empty = sum(map(len, story.core.snapshot().values()))
    for n in range(1_000):
        story.verdict(
            "cap", f"tenant=t{n}", contributors=tuple(part("model", f"m{k}", 1.0) for k in range(5))
        )

    rows = story.core.snapshot()
    assert sum(map(len, rows.values())) - empty < 1_500_000
    assert max(map(len, rows.values())) < 100_000


def test_a_checkpoint_of_the_release_before_is_read() -> None:
    """It had everything in one row."""
    story = Story([cap()])
    story.verdict("cap", "tenant=acme")
    before = {"state": encode_state(story.core._state)}

    assert DeciderCore.restore(before, PARTITIONS).snapshot() == story.core.snapshot()
