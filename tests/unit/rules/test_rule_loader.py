"""A directory of rule files becomes one rule set, or is refused whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from tokenfuse.contracts.ruleset import CapRule, Response, decode_ruleset, encode_ruleset
from tokenfuse.rules.errors import RuleFileError
from tokenfuse.rules.loader import files_digest, load

CAP = """rules:
  - id: tenant-cap
    kind: cap
    maturity: stable
    axis: tenant
    window: month
    limit_usd: "5"
    limits: {table: tables/tenants.csv, key: tenant, column: cap_usd}
    for: 30s
    severity: page
    mode: enforce
    response: {action: downgrade, ttl: 1h, downgrade_to: gpt-5-mini}
    runbook: https://example.org/run
"""
DRIFT = """rules:
  - id: prompt
    kind: drift
    maturity: stable
    axis: tenant
    signal: prompt
    windows: [5m]
    z_min: 5
    effect_min: 0.3
    baseline: 14d
    baseline_hours_min: 24
    calls_min: 20
    floor_usd_per_day: "0.25"
    page_floor_usd_per_day: "10"
    evaluation_interval: 60s
    severity: ticket
    mode: warn
"""
TABLE = """# A comment.
tenant,cap_usd,zone
acme,100.25,Europe/Berlin

"globex, inc.",,Asia/Tokyo
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/tenants.csv").write_text(TABLE)
    (tmp_path / "caps.yaml").write_text(CAP)
    return tmp_path


def refusal(root: Path) -> list[str]:
    with pytest.raises(RuleFileError) as refused:
        load(root)
    return str(refused.value).splitlines()


def test_a_page_floor_makes_a_page_of_the_same_thresholds_before_the_ticket(root):
    (root / "caps.yaml").write_text(DRIFT)

    page, ticket = load(root).rules

    assert (page.id, page.severity, page.floor_nanousd_per_day) == ("prompt@page", "page", 10_000_000_000)
    assert (ticket.id, ticket.severity, ticket.floor_nanousd_per_day) == ("prompt", "ticket", 250_000_000)
    own = {"id": "", "severity": "info", "floor_nanousd_per_day": 0}
    assert replace(page, **own) == replace(ticket, **own)


def test_everything_in_the_file_and_its_table_is_in_the_compiled_rule(root):
    assert load(root).rules == (
        CapRule(
            id="tenant-cap", kind="cap", driver="cost", maturity="stable", axis="tenant", window="month",
            limit_nanousd=5_000_000_000, limits={"acme": 100_250_000_000}, for_seconds=30, severity="page", mode="enforce",
            response=Response(action="downgrade", ttl_seconds=3600, downgrade_to="gpt-5-mini"),
            runbook="https://example.org/run",
        ),
    )  # fmt: skip


def test_the_same_files_give_the_same_id_and_any_change_another(root):
    first = load(root)
    again = load(root)
    (root / "tables/tenants.csv").write_text(TABLE.replace("100.25", "100.26"))

    assert first == again
    assert load(root).id != first.id
    assert decode_ruleset(encode_ruleset(first)) == first


def test_settings_give_time_zones_by_tenant(root):
    (root / "settings.yaml").write_text(
        "settings: {default_time_zone: America/New_York, switches_max: 7,"
        " time_zones: {table: tables/tenants.csv, key: tenant, column: zone}}"
    )
    ruleset = load(root)

    assert ruleset.time_zones == {"acme": "Europe/Berlin", "globex, inc.": "Asia/Tokyo"}
    assert (ruleset.default_time_zone, ruleset.switches_max) == ("America/New_York", 7)


def test_settings_in_two_files_are_refused(root):
    for name in ("a", "b"):
        (root / f"{name}.yaml").write_text("settings: {switches_max: 7}")

    assert refusal(root) == ["b.yaml:1: settings are in a.yaml already: one file has them"]


def test_a_list_of_axes_makes_one_rule_per_axis_and_a_budget_one_per_share(root):
    (root / "caps.yaml").write_text("""rules:
  - id: monthly
    kind: budget
    maturity: stable
    axis: [tenant, labels.squad]
    window: month
    limit_usd: "0.000000003"
    notify_at: [{share: 0.5, severity: info}, {share: 0.995, severity: ticket}, {share: 1, severity: page}]
    mode: warn
""")

    rules = [
        (r.id, r.axis, r.limit_nanousd, r.severity, r.resolution)
        for r in load(root).rules
        if isinstance(r, CapRule)
    ]
    assert rules[:3] == [
        ("monthly.tenant@50", "tenant", 2, "info", "warn"),
        ("monthly.tenant@99.5", "tenant", 3, "ticket", "warn"),
        ("monthly.tenant@100", "tenant", 3, "page", "final"),
    ]
    assert [r[1] for r in rules[3:]] == ["labels.squad"] * 3


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("acme,5,UTC", "6: cap_usd: tenant 'acme' is there twice: keep one"),
        (",5,UTC", "6: cap_usd: tenant is empty"),
        ("hooli,five,UTC", "6: cap_usd: expected US dollars such as \"25.50\", got 'five'"),
        ("hooli,5", "6: 2 cells, the header names 3"),
    ],
)
def test_a_bad_row_is_named_by_its_line(root, row, problem):
    (root / "tables/tenants.csv").write_text(TABLE + row + "\n")

    assert refusal(root) == [f"tables/tenants.csv:{problem}"]


def test_an_unknown_time_zone_is_named_by_its_line(root):
    (root / "settings.yaml").write_text(
        "settings: {time_zones: {table: tables/tenants.csv, key: tenant, column: zone}}"
    )
    (root / "tables/tenants.csv").write_text(TABLE + "hooli,1,Mars/Olympus\n")

    assert refusal(root) == [
        "tables/tenants.csv:6: zone: 'Mars/Olympus' is no IANA time zone such as Europe/Berlin"
    ]


def test_a_table_without_the_column_says_which_there_are(root):
    (root / "caps.yaml").write_text(CAP.replace("column: cap_usd", "column: cap"))

    assert refusal(root) == ["tables/tenants.csv:2: no column cap: there are tenant, cap_usd, zone"]


def test_mistakes_of_all_files_are_told_at_once_and_nothing_is_loaded(root):
    (root / "a.yaml").write_text("rules: [{id: x, kind: nothing}]")
    (root / "b.yaml").write_text("rules: 5")

    assert [line.split(":")[0] for line in refusal(root)] == ["a.yaml", "b.yaml"]


def test_a_yml_file_is_refused_instead_of_left_out(root):
    (root / "more.yml").write_text("rules: []")

    assert refusal(root) == ["more.yml:1: would be left out: rename it to .yaml"]


def test_a_missing_or_empty_directory_is_refused(tmp_path):
    assert "no such directory" in refusal(tmp_path / "nowhere")[0]
    assert "no rule file (*.yaml)" in refusal(tmp_path)[0]


def test_a_binary_file_is_refused_with_the_line_of_its_first_bad_byte(root):
    (root / "caps.yaml").write_bytes(b"rules:\n  - \xff\n")

    assert refusal(root) == ["caps.yaml:2: not UTF-8: save the file as UTF-8"]


def test_the_digest_changes_with_every_file_that_load_reads_and_with_no_other(root):
    first = files_digest(root)
    (root / "caps_test.yaml").write_text("tests: []")
    (root / "README.md").write_text("hello")
    os.utime(root / "caps.yaml", (0, 0))
    assert files_digest(root) == first

    (root / "tables/tenants.csv").write_text(TABLE + "hooli,1,UTC\n")
    changed = files_digest(root)
    (root / "more.yaml").write_text("rules: []")

    assert len({first, changed, files_digest(root)}) == 3
