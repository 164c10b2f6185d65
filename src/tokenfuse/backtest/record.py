"""The result of a backtest as plain data: `backtest.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tokenfuse.backtest.judge import ACTS_AFTER_MS, Judged, RuleReport, per_week
from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.money import to_usd

SAVED: Final = (
    "sum of the scope's cost, less what is normal, over the ten-second panes from {} minutes after the first telling to the "
    "end of the breach; at least 0"
)
NORMAL: Final = {
    "counterfactual": "what the scope spent in the same panes of the counterfactual",
    "per_call": "the calls that were made, at the mean price of their cell (tier: of their cell without the model) in the 14 days before",
    "usual_hour": "the mean cost of the same hour of the day in the 14 days before, workdays and weekends apart",
    "nothing": "0: what comes after a cap, or of a run that should have been stopped, should not have been spent",
    "unknown": "the scope had less than a day of its own: no figure",
}
FALSE_BY_COUNTERFACTUAL: Final = (
    "pages and tickets that the same rules raise on the counterfactual, in which nothing happens"
)
FALSE_BY_DOLLARS: Final = (
    "an estimate: alerts whose excess from the beginning of the breach to its end is below the floor of their rule; a growth that "
    "was wanted is not recognised, and alerts without a past or a floor are not judged"
)


def result(
    reports: Sequence[RuleReport], judged: Sequence[Judged], from_ms: int, to_ms: int, *, counterfactual: bool
) -> dict[str, Any]:
    """Everything, with the formulas that it was made by."""
    return {
        "from": to_rfc3339(from_ms),
        "to": to_rfc3339(to_ms),
        "weeks": round(1 / max(per_week(1, to_ms - from_ms), 1e-9), 3),
        "acts_after_seconds": ACTS_AFTER_MS // 1000,
        "saved": SAVED.format(ACTS_AFTER_MS // 60_000),
        "normal": NORMAL,
        "false_alarms": FALSE_BY_COUNTERFACTUAL if counterfactual else FALSE_BY_DOLLARS,
        "rules": [_rule(report, to_ms - from_ms) for report in reports],
        "alerts": [_alert(each) for each in judged],
    }


def _rule(report: RuleReport, length_ms: int) -> dict[str, Any]:
    return {
        "rule": report.rule,
        "kind": report.kind,
        "severity": report.severity,
        "alerts": report.pages + report.tickets + report.infos,
        "pages_per_week": round(per_week(report.pages, length_ms), 3),
        "tickets_per_week": round(per_week(report.tickets, length_ms), 3),
        "infos_per_week": round(per_week(report.infos, length_ms), 3),
        "saved_usd": to_usd(report.saved_nanousd),
        "alerts_without_figure": report.unknown,
        "false_alarms": report.false,
        "false_alarms_per_week": round(per_week(report.false, length_ms), 3),
        "judged": report.judged,
    }


def _alert(each: Judged) -> dict[str, Any]:
    episode = each.episode
    return {
        "rule": episode.rule,
        "scope": dict(episode.scope),
        "driver": episode.driver,
        "severity": episode.severity,
        "starts_at": to_rfc3339(episode.starts_ms),
        "told_at": to_rfc3339(episode.told_ms),
        "ended_at": to_rfc3339(episode.end_ms),
        "open": episode.open,
        "saved_usd": None if each.saved_nanousd is None else to_usd(each.saved_nanousd),
        "excess_usd": None if each.excess_nanousd is None else to_usd(each.excess_nanousd),
        "against": each.against,
        "false_alarm": each.false,
    }
