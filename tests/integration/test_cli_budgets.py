"""`tokenfuse budgets forecast` on a running installation: history is in it, the open hour too, and the exit code says it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.installation import Installation
from tests.support.processes import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Broker

RULES = """
rules:
  - {id: month, kind: budget, axis: tenant, window: month, limit_usd: "10000.00", notify_at: [{share: 1.0, severity: page}],
     maturity: stable, mode: warn, runbook: docs/runbooks.md#monthly-budget}
"""
DAYS = 10


def call(at: float, name: str) -> dict[str, Any]:
    return {
        "id": name, "time": at, "tenant": "acme", "feature": "chat", "model": "gpt-4o", "input_tokens": 1000,
        "output_tokens": 100, "cost_usd": "2.00",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_months_end_is_forecast_from_history_and_from_what_is_spent_now(
    broker: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    with Installation(
        tmp_path, broker.bootstrap_servers, topic_prefix, {"rules.yaml": RULES}
    ) as installation:
        now = time.time()
        past = [call(now - day * 86_400, f"past-{day}") for day in range(DAYS, 0, -1)]
        for events, options in ((past, ("--history",)), ([call(now, "now")], ())):
            (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
            installation.command("publish", str(tmp_path / "events.jsonl"), *options)
        month = datetime.fromtimestamp(now, UTC).strftime("%Y-%m")
        times = [event["time"] for event in (*past, call(now, "now"))]
        spent = 2 * sum(datetime.fromtimestamp(at, UTC).strftime("%Y-%m") == month for at in times)

        def asked() -> dict[str, Any]:
            result = installation.command("budgets", "forecast", "--output", "json", check=False)
            assert result.returncode == 0, result.stderr
            found = json.loads(result.stdout)["budgets"]
            return found[0] if found else {}

        wait_until(lambda: asked().get("spent_usd") == str(spent), f"{spent} dollars are in the rollups", 90)
        found = asked()
        assert (found["axis"], found["value"], found["budget_usd"]) == ("tenant", "acme", "10000")
        assert found["judgement"] == "within"
        # Nine whole days are known, of two dollars each: their weekdays agree, so the range is the point.
        left = (datetime.fromisoformat(found["ends_at"]).timestamp() - now) / 86_400
        assert float(found["forecast_usd"]) == pytest.approx(spent + 2 * left, abs=0.01)
        assert found["low_usd"] == found["forecast_usd"] == found["high_usd"]
        assert "acme" in installation.command("budgets", "forecast").stdout
