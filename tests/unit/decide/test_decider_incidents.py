"""Incidents: one page where a parent explains its children, and no news hidden by it."""

from __future__ import annotations

import msgspec
from tests.unit.decide.decider_log import PARTITIONS, USD, Story, cap, drift, killer, part, spike, volume

from tokenfuse.contracts.ruleset import AbsenceRule, NoveltyRule, PriceRule
from tokenfuse.contracts.scope import fingerprint
from tokenfuse.contracts.signal import DriverPart
from tokenfuse.decide.decider import DeciderCore

ACME = "tenant=acme"
USERS = spike("users", axis="user")
TENANTS = spike("tenants")


def user(story: Story, n: int, state: str = "breach", usd: float = 1.0) -> None:
    story.verdict(
        "users", f"user=u{n}", state, usd, partition=n % PARTITIONS,
        contributors=(part("feature", "chat", usd), part("tenant", "acme", usd)),
    )  # fmt: skip


def incident(users: int = 3) -> Story:
    """Users of one tenant, and the tenant, whose list of contributors is too short to name them."""
    story = Story([USERS, TENANTS])
    for n in range(users):
        user(story, n)
    story.verdict("tenants", ACME, usd=float(users), contributors=(part("feature", "chat", users),))
    return story


def scopes(alerts) -> list[dict[str, str]]:
    return [alert.scope for alert in alerts]


def test_a_tenant_and_400_of_its_users_are_one_page() -> None:
    story = incident(400)
    story.wait(10)

    assert scopes(story.pages()) == [{"tenant": "acme"}]
    assert sum(a.inhibited_by == fingerprint("tenants", ACME) for a in story.standing().values()) == 400
    assert all(a.inhibited_by for a in story.alerts() if a.state == "firing" and "user" in a.scope)


def test_the_tenant_may_be_seconds_later_than_its_users() -> None:
    story = Story([USERS, TENANTS])
    user(story, 1)
    story.wait(9)
    story.verdict("tenants", ACME, usd=5.0, partition=3)
    story.wait(1)

    assert scopes(story.pages()) == [{"tenant": "acme"}]


def test_a_tenant_found_much_later_takes_the_incident_over() -> None:
    story = Story([USERS, TENANTS])
    user(story, 1)
    story.wait(60)
    assert scopes(story.pages()) == [{"user": "u1"}]

    story.verdict("tenants", ACME, usd=5.0)
    story.wait(10)
    assert scopes(story.pages()) == [{"tenant": "acme"}]


def test_users_of_another_tenant_page_for_themselves() -> None:
    story = incident()
    story.verdict("users", "user=x", usd=0.5, contributors=(part("tenant", "other", 0.5),))
    story.wait(10)

    assert sorted(scopes(story.pages()), key=str) == [{"tenant": "acme"}, {"user": "x"}]


def test_a_named_contributor_needs_half_of_its_own_dollars_in_the_parent() -> None:
    models = spike("models", axis="model")
    for usd, pages in ((8.0, 1), (12.0, 2)):
        story = Story([TENANTS, models])
        story.verdict("tenants", ACME, usd=20.0, contributors=(part("model", "gpt", 5.0, 0.25),))
        story.verdict("models", "model=gpt", usd=usd)
        story.wait(10)

        assert pages == len(story.pages())


def test_of_two_that_explain_each_other_the_larger_is_the_root_and_of_equals_the_narrower() -> None:
    features = spike("features", axis="feature")
    for usd, root in ((4.0, "tenant"), (5.0, "feature"), (6.0, "feature")):
        story = Story([TENANTS, features])
        story.verdict("tenants", ACME, usd=5.0, contributors=(part("feature", "chat", 5.0),))
        story.verdict("features", "feature=chat", usd=usd, contributors=(part("tenant", "acme", usd),))
        story.wait(10)

        assert [root] == [next(iter(scope)) for scope in scopes(story.pages())]


def test_the_one_feature_that_explains_its_tenant_but_for_a_cent_is_the_root() -> None:
    """Other features spend by chance a little more than usual, or less."""
    features = spike("features", axis="feature")
    for usd, root in ((4.99, "feature"), (4.0, "tenant")):
        story = Story([TENANTS, features])
        story.verdict("tenants", ACME, usd=5.0, contributors=(part("feature", "chat", usd),))
        story.verdict("features", "feature=chat", usd=usd, contributors=(part("tenant", "acme", usd),))
        story.wait(10)

        assert [root] == [next(iter(scope)) for scope in scopes(story.pages())]


def test_a_ticket_never_explains_a_page() -> None:
    story = Story([USERS, spike("tenants", severity="ticket")])
    user(story, 1)
    story.verdict("tenants", ACME, usd=50.0)
    story.wait(10)

    assert len(story.pages()) == 2


def test_another_driver_is_another_incident() -> None:
    story = Story([spike("features", axis="feature"), TENANTS])
    story.verdict("tenants", ACME, usd=50.0)
    story.verdict(
        "features", "feature=chat", driver="prompt", drivers=(DriverPart("prompt", USD),),
        contributors=(part("tenant", "acme", 1.0),),
    )  # fmt: skip
    story.wait(10)

    assert len(story.pages()) == 2


def test_drifts_of_two_causes_are_two_pages_even_on_one_scope() -> None:
    story = Story([drift("prompt"), drift("cache")])
    story.verdict("prompt", ACME, usd=50.0, driver="prompt")
    story.verdict("cache", ACME, usd=5.0, driver="cache")
    story.wait(10)

    assert sorted(alert.driver for alert in story.pages()) == ["cache", "prompt"]


def surge(story: Story, usd: float = 50.0) -> None:
    story.verdict("surge", "", usd=usd)
    story.wait(60)


def test_what_drifts_inside_a_surge_is_part_of_it_until_it_is_over() -> None:
    story = Story([volume(id="surge", axis="global"), drift("cache", axis="tenant+feature")])
    surge(story)
    story.verdict("cache", "feature=chat&tenant=acme", usd=5.0, driver="cache")
    story.wait(10)
    assert [alert.rule for alert in story.pages()] == ["surge"]

    story.verdict("surge", "", "clear")
    story.wait(60)
    assert [alert.rule for alert in story.pages()] == ["cache"]


def test_a_surge_explains_no_drift_that_was_told_before_it_none_that_costs_more_and_no_retries() -> None:
    for first, signal, usd in ((True, "cache", 5.0), (False, "cache", 200.0), (False, "retry", 5.0)):
        story = Story([volume(id="surge", axis="global"), drift(signal)])
        if not first:
            surge(story)
        story.verdict(signal, ACME, usd=usd, driver=signal)
        story.wait(10)
        if first:
            surge(story)
        assert sorted(alert.rule for alert in story.pages()) == sorted([signal, "surge"])


def test_what_has_stood_for_a_day_does_not_explain_what_starts_now() -> None:
    story = Story([USERS, TENANTS])
    story.verdict("tenants", ACME, usd=50.0)
    story.wait(24 * 3600)
    user(story, 1)
    story.wait(10)

    assert len(story.pages()) == 2


def test_budget_thresholds_are_told_one_after_another_and_leave_one_standing() -> None:
    story = Story(
        [cap(f"budget{n}", window="month", severity="ticket", limit_nanousd=n * USD) for n in (50, 80, 100)]
    )
    for n in (50, 80, 100):
        story.verdict(f"budget{n}", ACME, threshold=float(n * USD), usd=0.1)
        story.wait(24 * 3600)
        assert [f"budget{n}"] == [a.rule for a in story.pages()]


def test_a_daily_cap_is_news_although_half_of_the_months_budget_was_told() -> None:
    story = Story([cap("month", window="month"), cap("day", window="day")])
    story.verdict("month", ACME, threshold=1000.0 * USD)
    story.wait(7 * 24 * 3600)
    story.verdict("day", ACME)
    story.wait(10)

    assert len(story.pages()) == 2


def test_an_hourly_and_a_daily_spike_of_one_scope_are_one_page() -> None:
    story = Story([TENANTS, spike("daily", pane="1d")])
    story.verdict("tenants", ACME)
    story.wait(20 * 3600)
    story.verdict("daily", ACME, usd=100.0)
    story.wait(10)

    assert [a.rule for a in story.pages()] == ["tenants"]


def test_an_alert_that_people_have_seen_keeps_the_incident() -> None:
    """A cap that fired at once is not replaced seconds later by a spike that says the same with more dollars."""
    story = Story([killer(), TENANTS])
    story.verdict("killer", ACME, usd=0.01)
    story.wait(5)
    story.verdict("tenants", ACME, usd=50.0)
    story.wait(10)

    assert [a.rule for a in story.pages()] == ["killer"]


def test_a_small_alert_does_not_hide_a_large_one_by_claiming_more_dollars_than_it_has() -> None:
    """Contributors of a user are told from all that the user ever spent."""
    story = Story([killer("user-cap", axis="user"), TENANTS])
    story.verdict("user-cap", "user=u1", usd=0.01, contributors=(part("tenant", "acme", 5000.0),))
    story.wait(60)
    story.verdict("tenants", ACME, usd=400.0)
    story.wait(10)

    assert scopes(story.pages()) == [{"tenant": "acme"}]


def test_a_burst_of_the_tenant_becomes_part_of_the_run_that_was_stopped() -> None:
    burst = msgspec.structs.replace(spike("bursts"), kind="burst")
    story = Story([killer("run-cap", axis="run_id"), burst])
    story.verdict("bursts", ACME, usd=14.0)
    story.wait(10)
    story.verdict("run-cap", "run_id=r1", usd=0.25, contributors=(part("tenant", "acme", 25.0),))
    story.wait(10)

    assert scopes(story.pages()) == [{"run_id": "r1"}]


def test_an_alert_that_stops_traffic_is_told_although_a_spike_was_told_before() -> None:
    story = Story([killer(), spike("features", axis="feature"), spike("all", axis="global"), TENANTS])
    story.verdict("features", "feature=chat", usd=50.0, contributors=(part("tenant", "acme", 50.0),))
    story.verdict(
        "all", "", usd=49.0, contributors=(part("tenant", "acme", 49.0), part("feature", "chat", 49.0))
    )
    story.verdict("tenants", ACME, usd=48.0, contributors=(part("feature", "chat", 48.0),))
    story.wait(60)
    story.verdict("killer", ACME, usd=0.1, contributors=(part("feature", "chat", 50.0),))

    assert [page.rule for page in story.pages()] == ["killer"]


def test_many_users_that_were_stopped_are_one_page_of_their_tenant() -> None:
    story = Story([killer("user-cap", axis="user"), TENANTS])
    story.verdict("tenants", ACME, usd=50.0)
    story.wait(10)
    for n in range(20):
        story.verdict("user-cap", f"user=u{n}", contributors=(part("tenant", "acme", 11.0),))

    assert [page.rule for page in story.pages()] == ["tenants"]
    assert len(story.core.engaged()) == 20


def test_children_that_still_breach_are_promoted_after_their_parent_resolved() -> None:
    story = incident()
    story.wait(10)
    story.verdict("tenants", ACME, "clear")
    for n in (0, 1):
        user(story, n, "clear")
    story.wait(59)
    assert story.pages() == []

    story.wait(1)
    assert scopes(story.pages()) == [{"user": "u2"}]


def test_a_child_is_explained_again_if_its_parent_comes_back() -> None:
    story = incident(2)
    story.wait(10)
    story.verdict("tenants", ACME, "clear")
    story.verdict("tenants", ACME, usd=3.0)
    story.wait(60)

    assert scopes(story.pages()) == [{"tenant": "acme"}]


def test_a_parent_that_comes_back_and_never_fires_does_not_keep_its_children_hidden() -> None:
    story = Story([USERS, spike("tenants", for_seconds=20)])
    user(story, 1)
    story.verdict("tenants", ACME, usd=5.0)
    story.wait(20)
    story.verdict("tenants", ACME, "clear")
    for _ in range(2):
        story.wait(25)
        story.verdict("tenants", ACME)
        story.wait(5)
        story.verdict("tenants", ACME, "clear")

    assert scopes(story.pages()) == [{"user": "u1"}]


def test_what_fires_now_does_not_wait_behind_an_orphan_of_a_parent_that_resolved() -> None:
    """The feature's page goes out with the news: nobody was told of it while the tenant's stood."""
    story = Story([USERS, TENANTS, spike("features", axis="feature")])
    story.verdict("features", "feature=chat", usd=4.0, contributors=(part("tenant", "acme", 4.0),))
    story.verdict("tenants", ACME, usd=5.0, partition=1)
    story.wait(10)
    story.verdict("tenants", ACME, "clear", partition=1)
    story.verdict("users", "user=x", contributors=(part("feature", "chat", 1.0),))
    story.wait(10)

    assert scopes(story.pages()) == [{"feature": "chat"}]
    assert story.standing()[fingerprint("users", "user=x")].inhibited_by == fingerprint(
        "features", "feature=chat"
    )


def test_what_a_parent_explained_follows_it_when_it_comes_back_below_another() -> None:
    """Nobody sees the tenant's page any more, so it may not be named as the explanation."""
    story = Story([USERS, TENANTS, spike("all", axis="global")])
    user(story, 1)
    story.verdict("tenants", ACME, usd=5.0, partition=1)
    story.wait(10)
    story.verdict("tenants", ACME, "clear", partition=1)
    story.verdict("all", "", usd=50.0, contributors=(part("tenant", "acme", 50.0),))
    story.verdict("tenants", ACME, usd=5.0, partition=1)
    story.wait(10)

    assert scopes(story.pages()) == [{}]
    assert {alert.inhibited_by for alert in story.standing().values()} == {None, fingerprint("all", "")}


def test_a_child_that_outgrows_its_parent_takes_the_incident_over() -> None:
    story = incident(2)
    story.wait(10)
    user(story, 0, "update", usd=50.0)
    story.wait(59)
    assert scopes(story.pages()) == [{"tenant": "acme"}]

    story.wait(1)
    assert scopes(story.pages()) == [{"user": "u0"}]


def test_a_child_that_outgrew_old_figures_of_its_parent_is_not_promoted() -> None:
    story = incident(2)
    story.wait(10)
    user(story, 0, "update", usd=50.0)
    story.wait(30)
    story.verdict("tenants", ACME, "update", usd=51.0)
    story.wait(30)

    assert scopes(story.pages()) == [{"tenant": "acme"}]


def test_everything_explains_a_scope_of_the_same_kind_that_is_most_of_it() -> None:
    story = Story([spike("all", axis="global"), TENANTS])
    story.verdict("all", "", usd=50.0)
    story.verdict("tenants", ACME, usd=40.0)
    story.wait(10)

    assert scopes(story.pages()) == [{}]


def test_roots_are_written_before_what_they_explain() -> None:
    story = incident(20)
    for out in [story.wait(10), *story.said]:
        inhibited = [alert.inhibited_by is not None for alert in out.alerts if alert.state == "firing"]
        assert sorted(inhibited) == inhibited or len({a.seq for a in out.alerts}) > 1


def test_a_restart_at_any_point_of_an_incident_changes_no_byte() -> None:
    story = incident(3)
    story.wait(10)
    user(story, 0, "update", usd=50.0)
    story.wait(60)
    story.verdict("tenants", ACME, "clear")
    user(story, 1, "clear")
    story.wait(5)
    story.verdict("tenants", ACME, usd=80.0)
    story.wait(61)
    user(story, 0, "clear")
    story.wait(61)
    for cut in range(len(story.log)):
        core = DeciderCore(PARTITIONS)
        for offset, signal in story.log[:cut]:
            core.apply(offset, signal)
        core = DeciderCore.restore(core.snapshot(), PARTITIONS)

        assert [core.apply(*entry) for entry in story.log[cut:]] == story.said[cut:]


def test_a_price_that_is_wrong_is_explained_by_no_spike_and_explains_none() -> None:
    """Its excess may be 0, so that every list of contributors would name it."""
    prices = PriceRule(
        id="prices", kind="price", driver="price", maturity="stable", axis="model", severity="page", mode="warn",
        measure="unpriced_calls", share_max=0.05, window_seconds=3600, calls_min=20, floor_nanousd=0,
    )  # fmt: skip
    story = Story([TENANTS, prices])
    story.verdict("tenants", ACME, usd=5.0, contributors=(part("model", "gpt", 5.0),))
    story.verdict("prices", "model=gpt", usd=0.0, driver="price", contributors=(part("tenant", "acme", 5.0),))
    story.wait(10)

    assert [alert.inhibited_by for alert in story.standing().values()] == [None, None]


def drifts_apart(hours: int, scope: str = "tenant=late", driver: str = "prompt") -> Story:
    """Answers of one feature cost more for everybody; so many hours later one customer is found, whose money it is."""
    by_driver = {"prompt": "late", "cache": "late-cache"}
    story = Story([
        drift("features", axis="feature", driver="prompt", signal="prompt"),
        drift("late", axis=scope.split("=", maxsplit=1)[0], driver="prompt", signal="prompt"),
        drift("late-cache", axis=scope.split("=", maxsplit=1)[0], driver="cache", signal="cache"),
    ])  # fmt: skip
    story.verdict("features", "feature=chat", usd=50.0, driver="prompt", drivers=(DriverPart("prompt", USD),))
    story.wait(hours * 3600)
    story.verdict(
        by_driver[driver], scope, usd=1.0, driver=driver, drivers=(DriverPart(driver, USD),),
        contributors=(part("feature", "chat", 1.0),),
    )  # fmt: skip
    story.wait(10)
    return story


def test_what_got_dearer_for_everybody_explains_a_customer_who_wakes_up_a_day_later() -> None:
    assert scopes(drifts_apart(30).pages()) == [{"feature": "chat"}]


def test_a_day_later_it_explains_neither_another_cause_nor_what_is_no_customers() -> None:
    assert len(drifts_apart(30, driver="cache").pages()) == 2
    assert len(drifts_apart(30, scope="model=gpt").pages()) == 2
    assert len(drifts_apart(1, scope="model=gpt").pages()) == 1


def test_a_customers_wrong_prices_explain_no_price_a_day_later() -> None:
    """A tenant pays for two models that got dearer on two days: the second is news."""
    prices = [
        PriceRule(
            id=axis, kind="price", driver="price", maturity="stable", axis=axis, severity="page", mode="warn",
            measure="off_book", share_max=0.05, window_seconds=3600, calls_min=20, floor_nanousd=0,
        ) for axis in ("tenant", "model")
    ]  # fmt: skip
    story = Story(prices)
    story.verdict("tenant", ACME, usd=50.0, driver="price")
    story.wait(30 * 3600)
    story.verdict(
        "model", "model=gpt", usd=1.0, driver="price", contributors=(part("tenant", "acme", 1.0),),
    )  # fmt: skip
    story.wait(10)

    assert len(story.pages()) == 2


def silence(name: str, axis: str) -> AbsenceRule:
    return AbsenceRule(
        id=name, kind="absence", driver="volume", maturity="stable", axis=axis, severity="page", mode="warn",
        silence_min_seconds=600, calls_min=12, record_factor=1.5, baseline_hours_min=72, floor_nanousd_per_day=0,
    )  # fmt: skip


def test_silence_everywhere_is_one_page_and_a_tenants_explains_its_features() -> None:
    story = Story([silence("all", "global"), silence("tenants", "tenant"), silence("features", "feature")])
    story.verdict("features", "feature=chat", usd=0.0, contributors=(part("tenant", "acme", 1.0),))
    story.verdict("tenants", ACME, usd=0.0, partition=1, contributors=(part("feature", "chat", 1.0),))
    story.wait(10)
    assert len(story.pages()) == 1

    story.verdict("all", "", usd=0.0, partition=2)
    story.wait(10)
    assert scopes(story.pages()) == [{}]


def test_a_silence_is_explained_by_no_spike_that_names_its_scope() -> None:
    story = Story([TENANTS, silence("features", "feature")])
    story.verdict("tenants", ACME, usd=20.0, contributors=(part("feature", "chat", 15.0),))
    story.verdict("features", "feature=chat", usd=0.0, contributors=(part("tenant", "acme", 1.0),))
    story.wait(10)

    assert sorted(scopes(story.pages()), key=str) == [{"feature": "chat"}, {"tenant": "acme"}]


def new(name: str, axis: str) -> NoveltyRule:
    return NoveltyRule(
        id=name, kind="novelty", driver="volume", maturity="stable", axis=axis, severity="page", mode="warn",
        window_seconds=86_400, floor_nanousd=USD, baseline_hours_min=72,
    )  # fmt: skip


def test_a_new_tenant_with_new_features_is_one_page() -> None:
    story = Story([new("tenants", "tenant"), new("features", "feature")])
    whose = {"drivers": (DriverPart("volume", 10 * USD),)}
    for n in range(3):
        story.verdict(
            "features",
            f"feature=f{n}",
            usd=10.0,
            partition=n,
            contributors=(part("tenant", "newco", 10.0),),
            **whose,
        )
    named = tuple(part("feature", f"f{n}", 10.0, 0.33) for n in range(3))
    story.verdict("tenants", "tenant=newco", usd=30.0, partition=3, contributors=named, **whose)
    story.wait(10)

    assert scopes(story.pages()) == [{"tenant": "newco"}]
