"""Every mistake is refused with its place and with what would be right; the file is named after the mistake."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tokenfuse.rules.errors import RuleFileError
from tokenfuse.rules.loader import load
from tokenfuse.rules.schema import KINDS

BAD = Path(__file__).parent / "bad"

MESSAGES = {
    "unknown-field": "2: unknown field limt_usd: did you mean limit_usd?",
    "unknown-kind": f"2: kind: expected {', '.join(map(repr, KINDS))}, got 'capp'",
    "missing-kind": f"2: kind is missing: one of {', '.join(KINDS)}",
    "missing-severity": "2: severity is missing: page, ticket or info.",
    "unknown-axis": "5: axis: 'tennant' is no axis: one of tenant, feature, model, prompt_template, user, run_id, global, ",
    "unknown-window": "6: window: '2h' is no window: day, month (calendar) or one of 1m, 5m, 10m, 30m, 1h, 6h, 24h, 7d, 30d",
    "bad-duration": "8: for: expected a duration such as 90s, 5m, 1h or 7d, got '5 minutes'",
    "negative-limit": "7: limit_usd: expected US dollars such as \"25.50\", got '-25'",
    "limit-finer-than-a-nano-dollar": "7: limit_usd: expected at most nine decimals and at most 1000000000 dollars, got '0.0000000001'",
    "no-limit": "2: no limit: give limit_usd, a table of limits, or both",
    "response-without-ttl": "10: ttl is missing: How long the kill switch stands at most; every switch expires.",
    "downgrade-without-model": "10: downgrade_to names the model for action downgrade, and for no other action",
    "unquoted-yes-as-text": "6: match: expected text (in quotes if it looks like a number or a yes/no), got False",
    "number-as-text": "7: factor: expected a number, got '3'",
    "wrong-severity": "8: severity: expected 'page', 'ticket' or 'info', got 'critical'",
    "key-twice": "4: id is there twice: keep one",
    "alias": "3: alias *one: write the value out",
    "not-yaml": "3: not YAML: ",
    "list-at-top": "1: the file: expected a mapping of fields, got [",
    "empty": "1: empty: a rule file has `rules:` or `settings:`",
    "duplicate-id": "3: id run-cap is taken: ids are unique in all files",
    "drift-on-users": "2: axis user: drift compares cells, so the axis is global, one of tenant, feature, model, prompt_template, or several joined by +",
    "tier-drift-on-models": "2: axis model: tier mix moves between models; use tenant, feature or prompt_template",
    "evaluation-too-seldom": "2: evaluation_interval: whole minutes from 60s to 1h",
    "baseline-longer-than-kept": "2: baseline: whole hours from 1h to 336h",
    "windows-not-rising": "2: windows: rising, each once: whole minutes up to 1h, whole hours up to 24h",
    "page-floor-below-floor": "2: page_floor_usd_per_day: above floor_usd_per_day, of a rule that is a ticket or info",
    "spike-history-longer-than-kept": "2: history_panes: at most 23 panes of 1h are kept for tenant, user",
    "budget-that-blocks": "2: a budget only tells: put response and mode enforce on a cap beside it",
    "budget-shares-not-rising": "2: notify_at: shares must rise, each once",
    "absence-that-blocks": "2: an absence only tells, there are no calls to stop: use mode warn, no response",
    "absence-of-users": "2: axis user: no two weeks of hours are kept; use tenant, feature or model",
    "novelty-of-users": "2: axis user: new values of it are no news; use one of tenant, feature, model, prompt_template",
    "missing-table": "tables/nobody.csv:1: cannot be read as CSV: No such file or directory",
    "table-outside": "../tenants.csv:1: outside the rules directory: move the table below it",
    "unknown-default-zone": "3: default_time_zone: 'Berlin' is no IANA time zone such as Europe/Berlin",
}


def test_every_bad_file_has_its_message():
    assert {path.stem for path in BAD.glob("*.yaml")} == set(MESSAGES)


@pytest.mark.parametrize("mistake", sorted(MESSAGES))
def test_a_bad_file_is_refused_with_its_place_and_what_would_be_right(mistake, tmp_path):
    shutil.copy(BAD / f"{mistake}.yaml", tmp_path / "rules.yaml")

    with pytest.raises(RuleFileError) as refused:
        load(tmp_path)

    expected = MESSAGES[mistake]
    place = expected if "csv:" in expected else f"rules.yaml:{expected}"
    assert str(refused.value).startswith(place)
    assert len(refused.value.problems) == 1
