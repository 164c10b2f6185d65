"""The Prometheus rules that ship, and the table of bounds: of a sound shape, and about metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path

import prometheus_client
import pytest
import yaml

from tokenfuse.cli.doctor_bounds import ALARMS
from tokenfuse.runtime import metrics
from tokenfuse.runtime.roles import ROLES

ROOT = Path(__file__).parents[3]
ALERTS = ROOT / "helm/tokenfuse/files/alerts.yaml"
OPERATIONS = (ROOT / "docs/operations.md").read_text()
METRIC = re.compile(r"tokenfuse_[a-z_]+")


def exported() -> set[str]:
    kinds = (prometheus_client.Counter, prometheus_client.Gauge, prometheus_client.Histogram)
    found = [value for value in vars(metrics).values() if isinstance(value, kinds)]
    return {
        metric._name + ("_total" if isinstance(metric, prometheus_client.Counter) else "") for metric in found
    }


def rules() -> list[dict]:
    document = yaml.safe_load(ALERTS.read_text())
    assert set(document) == {"groups"}
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_rule_has_an_expression_over_metrics_that_exist_a_severity_and_words(rule):
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"TokenFuse[A-Z]\w+", rule["alert"])
    assert set(METRIC.findall(rule["expr"])) <= exported()
    assert rule["expr"].count("(") == rule["expr"].count(")")
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description"}


def test_alerts_have_names_of_their_own():
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))


def test_the_documents_name_only_metrics_that_exist():
    named = set(METRIC.findall(OPERATIONS)) - {"tokenfuse_"}
    assert named <= exported()


def test_what_doctor_shows_of_a_bound_is_alerted_and_in_the_table_of_bounds_or_of_what_to_do():
    alerted = {name for rule in rules() for name in METRIC.findall(rule["expr"])}
    for alarm in ALARMS:
        assert alarm.role in ROLES
        assert alarm.metric in alerted, alarm.metric
