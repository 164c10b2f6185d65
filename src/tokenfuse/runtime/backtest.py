"""A backtest: the same replay that `tokenfuse replay` runs, with its spend kept, and a second one over the counterfactual."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenfuse.backtest.episodes import Episode, episodes
from tokenfuse.backtest.judge import Judged, judge
from tokenfuse.backtest.normal import Past, alerted_hours
from tokenfuse.backtest.spend import HOUR_S, Spend
from tokenfuse.contracts.alert import decode_alert
from tokenfuse.contracts.clock import from_rfc3339
from tokenfuse.contracts.ruleset import RuleSet
from tokenfuse.runtime.replay import Replay
from tokenfuse.runtime.spend_log import SpendLog


class NoEventsError(Exception):
    """Nothing in the files is an event."""


@dataclass(frozen=True)
class Replayed:
    """One replay: its alerts, and what was spent in it."""

    summary: dict[str, Any]
    episodes: list[Episode]
    spend: SpendLog

    @property
    def first_s(self) -> int:
        """Start of the first hour with events."""
        return self.spend.first_s - self.spend.first_s % HOUR_S


def replayed(
    lines: Iterable[bytes], ruleset: RuleSet, out: Path, further_axes: tuple[str, ...], progress: Callable[[int], None]
) -> Replayed:  # fmt: skip
    """Replays lines into a directory.

    Raises:
        NoEventsError: no line is an event.
        OSError: the directory cannot be written.
    """
    job, spend = Replay(ruleset, out, further_axes), SpendLog([rule.axis for rule in ruleset.rules])
    job.on_blocks = spend.take
    summary = job.run(lines, progress)
    if spend.first_s < 0:
        raise NoEventsError
    with (out / "alerts.jsonl").open("rb") as alerts:
        told = episodes(map(decode_alert, alerts), ruleset.rules, from_rfc3339(summary["last_time"]))
    return Replayed(summary, told, spend)


def judged(run: Replayed, counterfactual: Replayed | None, ruleset: RuleSet, since_ms: int) -> list[Judged]:
    """Every alert that was told from some moment on, by time."""
    rules = {rule.id: rule for rule in ruleset.rules}
    keys = sorted({_key(each.scope) for each in run.episodes})
    pasts = dict(zip(keys, _pasts(run, keys), strict=True))
    others: Mapping[Any, Spend | None] = dict.fromkeys(keys)
    if counterfactual is not None:
        others = dict(zip(keys, counterfactual.spend.scopes(list(map(dict, keys))), strict=True))
    twins = None if counterfactual is None else counterfactual.episodes
    return [
        judge(each, rules[each.rule], pasts[_key(each.scope)], others[_key(each.scope)], twins)
        for each in run.episodes
        if each.told_ms >= since_ms
    ]


def past_of(run: Replayed, scope: Mapping[str, str]) -> Past:
    """One scope's spend and its ordinary hours."""
    return _pasts(run, [_key(scope)])[0]


def _pasts(run: Replayed, keys: Sequence[tuple[tuple[str, str], ...]]) -> list[Past]:
    groups = run.spend.groups()
    spends = run.spend.scopes(list(map(dict, keys)))
    return [
        Past(spend, run.first_s, alerted_hours(e for e in run.episodes if _key(e.scope) == key), groups)
        for key, spend in zip(keys, spends, strict=True)
    ]


def _key(scope: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(scope.items()))
