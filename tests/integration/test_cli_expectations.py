"""An operator's day on a running installation: history, a launch that was announced, feedback, and what it may not soften."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.installation import Installation
from tests.support.processes import wait_until
from tests.support.topic_reader import read_topic

from tokenfuse.contracts.alert import decode_alert
from tokenfuse.contracts.block import DeltaBlock, decode_block
from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.topics import ALERTS, DELTAS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Broker

RULES = """
rules:
  - {id: hour, kind: spike, axis: tenant, pane: 1h, factor: 3.0, history_panes: 24, history_panes_min: 3, floor_usd: "1.00",
     maturity: stable, severity: page, mode: warn, runbook: docs/runbooks.md#hourly-spike}
  - {id: cap, kind: cap, axis: tenant, window: 24h, limit_usd: "12.00", maturity: stable, severity: page, mode: warn,
     runbook: docs/runbooks.md#cap}
"""
HOUR_S = 3600


def calls(tenant: str, at: float, usd: int, name: str) -> list[dict[str, Any]]:
    """Dollar calls of one tenant at one time."""
    return [
        {
            "id": f"{tenant}-{name}-{n}", "time": at, "tenant": tenant, "feature": "chat", "model": "gpt-4o",
            "input_tokens": 1000, "output_tokens": 100, "cost_usd": "1.00",
        }
        for n in range(usd)
    ]  # fmt: skip


class Day(Installation):
    """What an operator types."""

    def publish(self, events: list[dict[str, Any]], *options: str) -> None:
        """Events from a file."""
        path = self.directory / "events.jsonl"
        path.write_text("".join(json.dumps(event) + "\n" for event in events))
        self.command("publish", str(path), *options)

    def ask(self, *arguments: str) -> dict[str, Any]:
        """A command's answer as JSON."""
        found: dict[str, Any] = json.loads(self.command(*arguments, "--output", "json").stdout)
        return found

    def alert(self, rule: str, tenant: str) -> dict[str, Any] | None:
        """An alert as it stands."""
        alerts = self.ask("alerts", "list", "--all")["alerts"]
        return next((a for a in alerts if a["rule"] == rule and a["scope"] == {"tenant": tenant}), None)

    def until(self, rule: str, tenant: str, state: str) -> dict[str, Any]:
        """Wait until an alert is in a state, by its topic: a command for each look is a second of computing. As the command shows it."""
        wait_until(lambda: self._state(rule, tenant) == state, f"{rule} of {tenant} is {state}", 60)
        found = self.alert(rule, tenant)
        assert found is not None
        assert found["state"] == state
        return found

    def history_is_over(self) -> bool:
        """Whether every source partition that had history has live calls behind it, in every deltas partition."""
        logs = [
            [b for b in map(decode_block, values) if isinstance(b, DeltaBlock)]
            for values in self._values(DELTAS)
        ]
        had = {block.source for log in logs for block in log if block.history}
        return bool(had) and all(had <= {block.source for block in log if not block.history} for log in logs)

    def _values(self, topic: str) -> list[list[bytes]]:
        """What a topic holds, by partition."""
        name = self.environment["TOKENFUSE_TOPIC_PREFIX"] + topic
        found = asyncio.run(read_topic(self.environment["TOKENFUSE_BOOTSTRAP_SERVERS"], name))
        return [[record.value for record in records if record.value] for records in found.values()]

    def _state(self, rule: str, tenant: str) -> str | None:
        alerts = [decode_alert(value) for values in self._values(ALERTS) for value in values]
        return next(
            (a.state for a in reversed(alerts) if (a.rule, a.scope) == (rule, {"tenant": tenant})), None
        )


def past(tenant: str, now: float) -> list[dict[str, Any]]:
    """Eight hours of a dollar each; in the third last ten, which would be a spike and over the cap if it were news."""
    return [
        call
        for hour in range(8, 0, -1)
        for call in calls(tenant, now - hour * HOUR_S, 10 if hour == 3 else 1, f"past-{hour}")
    ]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_history_alerts_nobody_a_launch_is_held_back_feedback_teaches_and_caps_stay_as_they_are(
    broker: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    with Day(tmp_path, broker.bootstrap_servers, topic_prefix, {"rules.yaml": RULES}) as day:
        now = time.time()
        day.publish([call for tenant in ("acme", "globex") for call in past(tenant, now)], "--history")
        announced = day.ask(
            "changes", "announce", "--tenant", "globex", "--factor", "10", "--until", "2d", "--reason", "launch",
            "--by", "eve",
        )["change"]  # fmt: skip
        assert (announced["factor"], announced["by"], announced["reason"]) == (10.0, "eve", "launch")

        # The first call of each source partition ends its history; what is judged comes after both.
        for usd, name in ((1, "first"), (8, "then")):
            day.publish(
                [call for tenant in ("acme", "globex") for call in calls(tenant, time.time(), usd, name)]
            )
            wait_until(day.history_is_over, "the first calls end the history", 60)
        firing = day.until("hour", "acme", "firing")
        held = day.until("hour", "globex", "pending")
        everything = day.ask("alerts", "list", "--all")["alerts"]
        started = {
            (a["rule"], a["starts_at"] >= to_rfc3339(round((now - HOUR_S) * 1000))) for a in everything
        }
        assert started <= {("hour", True), ("cap", True), ("cap", False)}, "history taught and alerted nobody"
        assert all(a["at"] >= to_rfc3339(round((now - 60) * 1000)) for a in everything)

        assert (held["held"]["reason"], held["held"]["change"]) == ("planned_change", announced["id"])
        listed = day.ask("changes", "list")
        assert [each["id"] for each in listed["changes"]] == [announced["id"]]
        assert [each["fingerprint"] for each in listed["held"][announced["id"]]] == [held["fingerprint"]]
        assert "globex" in day.command("changes", "list").stdout

        lesson = day.ask(
            "alerts", "feedback", firing["fingerprint"][:10], "expected", "--note", "a batch", "--by", "bob"
        )
        assert lesson["lesson"]["accepted"].startswith("up to ")
        assert day.until("hour", "acme", "resolved")["summary"].endswith("says bob.")
        assert [each["reason"] for each in day.ask("alerts", "lessons")["lessons"]] == ["a batch"]

        cap = day.until("cap", "acme", "firing")
        refused = day.command("alerts", "feedback", cap["fingerprint"], "expected", check=False)
        assert refused.returncode == 2
        assert "feedback does not soften it" in refused.stdout + refused.stderr
        assert day.until("cap", "globex", "firing")["held"] is None

        day.command("changes", "cancel", announced["id"][:10])
        assert day.until("hour", "globex", "firing")["held"] is None
        assert day.ask("changes", "list")["changes"] == []
        assert day.alert("hour", "acme")["state"] == "resolved"
