"""What an outside reader finds on the topics, against the truth and the shadow."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.logs import TopicLog
from tests.chaos.shadow import Shadow, is_command
from tests.chaos.traffic import MEASURES
from tests.chaos.truth import Truth

from tokenfuse.contracts import topics
from tokenfuse.contracts.alert import decode_alert
from tokenfuse.contracts.killswitch import GENERATION_HEADER, HEARTBEAT, encode_switch
from tokenfuse.notify.pagerduty import dedup_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.chaos.traffic import Fact

    from tokenfuse.contracts.alert import Alert
    from tokenfuse.runtime.settings import Settings

GRANULARITIES = ("total", "1m", "1h", "1d")


@dataclass
class Findings:
    """Figures of one audit; every one of `FAULTS` must be nought."""

    scopes: int = 0
    events: int = 0
    wrong_scopes: int = 0
    buried_rollups: int = 0
    wrong_letters: int = 0
    signals: int = 0
    wrong_signals: int = 0
    alerts: int = 0
    lost_alerts: int = 0
    doubled_alerts: int = 0
    foreign_alerts: int = 0
    impossible_transitions: int = 0
    buried_alerts: int = 0
    switches: int = 0
    wrong_switches: int = 0
    foreign_switches: int = 0
    wrong_pages: int = 0
    slices_cut_again: int = 0
    slices_half_out: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, int]:
        """What is not nought and should be."""
        return {name: count for name, count in asdict(self).items() if name in FAULTS and count}


FAULTS = (
    "wrong_scopes", "buried_rollups", "wrong_letters", "wrong_signals", "lost_alerts", "doubled_alerts",
    "foreign_alerts", "impossible_transitions", "buried_alerts", "wrong_switches", "foreign_switches", "wrong_pages",
)  # fmt: skip


class Auditor:
    """Reads every topic from its beginning on, and remembers where it stopped."""

    def __init__(self, settings: Settings, facts: Mapping[bytes, Fact], received: Path) -> None:
        self._received = received
        self.truth = Truth(facts, settings.dedup_horizon_seconds)
        self.shadow = Shadow(settings)
        servers = settings.bootstrap_servers or ""
        names = (
            topics.EVENTS, topics.DELTAS, topics.SIGNALS, topics.ALERTS, topics.KILLSWITCH, topics.ROLLUPS,
            topics.DEADLETTER,
        )  # fmt: skip
        self._logs = {name: TopicLog(servers, settings.topic(name)) for name in names}

    async def read(self) -> dict[str, dict[int, int]]:
        """Read on; where each topic ends now."""
        for line in await self._logs[topics.EVENTS].extend():
            self.truth.apply(line.partition, line.offset, line.timestamp_ms, line.value or b"")
        self.shadow.read_deltas(await self._logs[topics.DELTAS].extend())
        self.shadow.read_signals(await self._logs[topics.SIGNALS].extend())
        for name in (topics.ALERTS, topics.KILLSWITCH, topics.ROLLUPS, topics.DEADLETTER):
            await self._logs[name].extend()
        return {name: log.ends for name, log in self._logs.items()}

    def findings(self) -> Findings:
        """Everything compared."""
        found = Findings(events=len(self._logs[topics.EVENTS].all()))
        found.slices_cut_again, found.slices_half_out = self.shadow.cut_again
        self._check_scopes(found)
        self._check_letters(found)
        self._check_signals(found)
        self._check_alerts(found)
        self._check_switches(found)
        self._check_pages(found)
        return found

    def _check_scopes(self, found: Findings) -> None:
        truth = self.truth.sums()
        by_revision, by_offset = self._rollups()
        found.scopes = len(truth)
        for granularity in GRANULARITIES:
            got, compacted = sums(by_revision, granularity), sums(by_offset, granularity)
            wrong = [scope for scope in truth.keys() | got.keys() if truth.get(scope) != got.get(scope)]
            found.wrong_scopes = max(found.wrong_scopes, len(wrong))
            buried = [
                scope for scope in got.keys() | compacted.keys() if got.get(scope) != compacted.get(scope)
            ]
            found.buried_rollups = max(found.buried_rollups, len(buried))
            found.examples += [f"{granularity} {s}: truth {truth.get(s)} got {got.get(s)}" for s in wrong[:5]]
            found.examples += [f"{granularity} {s}: buried by an older revision" for s in buried[:5]]

    def _rollups(self) -> tuple[dict[bytes, Any], dict[bytes, Any]]:
        """By key: the highest revision, and the last record, which is what compaction keeps."""
        newest: dict[bytes, Any] = {}
        last: dict[bytes, Any] = {}
        for line in self._logs[topics.ROLLUPS].all():
            rollup = json.loads(line.value or b"")
            key = line.key or b""
            last[key] = rollup
            if key not in newest or rollup["revision"] >= newest[key]["revision"]:
                newest[key] = rollup
        return newest, last

    def _check_letters(self, found: Findings) -> None:
        """A slice that was cut again says its letters again: they count once."""
        got = {}
        for line in self._logs[topics.DEADLETTER].all():
            head = dict(line.headers)
            got[int(head["source_partition"]), int(head["source_offset"])] = head["reason"].decode()
        wrong = dict(got.items() ^ self.truth.letters.items())
        found.wrong_letters = len(wrong)
        found.examples += [f"dead letter of {place}: {reason}" for place, reason in list(wrong.items())[:5]]

    def _check_signals(self, found: Findings) -> None:
        said = {line.value or b"" for line in self._logs[topics.SIGNALS].all()}
        said = {value for value in said if not is_command(value)}
        found.signals, found.wrong_signals = len(self.shadow.signals), len(said ^ self.shadow.signals)
        found.examples += [f"signal lost: {value!r}" for value in list(self.shadow.signals - said)[:3]]
        found.examples += [f"signal foreign: {value!r}" for value in list(said - self.shadow.signals)[:3]]

    def _check_alerts(self, found: Findings) -> None:
        """A reader drops what is not newer than what it has of the fingerprint; a transition keeps its `seq`."""
        got: dict[bytes, list[bytes]] = defaultdict(list)
        last: dict[bytes, int] = {}
        for line in self._logs[topics.ALERTS].all():
            key, value = line.key or b"", line.value or b""
            last[key] = json.loads(value)["seq"]
            got[key].append(value)
        found.alerts = sum(map(len, self.shadow.alerts.values()))
        for key in got.keys() | self.shadow.alerts.keys():
            wanted, said = self.shadow.alerts.get(key, []), got.get(key, [])
            read = as_read(said)
            found.lost_alerts += len(set(wanted) - set(said)) + len(set(said) & set(wanted) - set(read))
            found.foreign_alerts += len(set(said) - set(wanted))
            found.doubled_alerts += len(read) - len({json.loads(value)["seq"] for value in said})
            found.impossible_transitions += impossible(wanted)
            if key in last and last[key] != max(json.loads(value)["seq"] for value in said):
                found.buried_alerts += 1
            found.examples += [f"alert lost: {v!r}" for v in list(set(wanted) - set(said))[:2]]
            found.examples += [f"alert foreign: {v!r}" for v in list(set(said) - set(wanted))[:2]]

    def _check_switches(self, found: Findings) -> None:
        last: dict[bytes, bytes | None] = {}
        for line in self._logs[topics.KILLSWITCH].all():
            key = line.key or b""
            if key == HEARTBEAT.encode():
                continue
            last[key] = line.value
            generation = int(dict(line.headers)[GENERATION_HEADER])
            foreign = (key, line.value) not in self.shadow.switches
            if foreign or (line.value is None and self.shadow.stood(key, generation)):
                found.foreign_switches += 1
                found.examples.append(f"switch {key!r} at {generation}: {line.value!r} was never decided")
        stands = {key: value for key, value in last.items() if value is not None}
        wanted = {key.encode(): encode_switch(switch) for key, switch in self.shadow.engaged.items()}
        found.switches = len({key for key, value in self.shadow.switches if value is not None})
        wrong = [key for key in stands.keys() | wanted.keys() if stands.get(key) != wanted.get(key)]
        found.wrong_switches = len(wrong)
        found.examples += [f"switch {k!r}: stands {stands.get(k)!r}, wanted {wanted.get(k)!r}" for k in wrong]

    def _check_pages(self, found: Findings) -> None:
        """PagerDuty's last word on each alert that pages is the alert's."""
        said: dict[str, str] = {}
        for line in self._received.read_text().splitlines() if self._received.exists() else ():
            record = json.loads(line)
            if record["receiver"] == "pagerduty":
                said[record["body"]["dedup_key"]] = record["call"]
        for values in self.shadow.alerts.values():
            for episode in episodes(values):
                last = episode[-1]
                told = [each for each in episode if each.state == "firing" and each.severity == "page"]
                if not told or any(each.inhibited_by for each in episode):
                    continue
                word, wanted = (
                    said.get(dedup_key(last)),
                    {"firing": "trigger", "resolved": "resolve"}[last.state],
                )
                if word != wanted:
                    found.wrong_pages += 1
                    found.examples.append(
                        f"page of {last.fingerprint} since {last.starts_at}: {word}, not {wanted}"
                    )


def episodes(values: list[bytes]) -> list[list[Alert]]:
    """The transitions of one alert, from each beginning to its end."""
    by_start: dict[str, list[Alert]] = {}
    for alert in map(decode_alert, values):
        by_start.setdefault(alert.starts_at, []).append(alert)
    return list(by_start.values())


def as_read(values: list[bytes]) -> list[bytes]:
    """What a reader keeps that drops whatever is not newer."""
    kept: list[bytes] = []
    seq = -1
    for value in values:
        if (now := json.loads(value)["seq"]) > seq:
            seq = now
            kept.append(value)
    return kept


def impossible(values: list[bytes]) -> int:
    """Transitions that no lifecycle has: another breach while one stands, or a second end."""
    count = 0
    before: dict[str, Any] | None = None
    for value in values:
        alert = json.loads(value)
        if before is not None and before["state"] != "resolved":
            count += alert["starts_at"] != before["starts_at"] and alert["state"] != "resolved"
            count += before["state"] == "firing" and alert["state"] == "pending"
        before = alert
    return count


def sums(rollups: Mapping[bytes, Any], granularity: str) -> dict[tuple[str, str], tuple[int, ...]]:
    """Per scope, over one granularity and what came too late for its panes."""
    rows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for rollup in rollups.values():
        if rollup["granularity"] in {granularity, f"late_{granularity}"}:
            row = rows[rollup["axis"], rollup["value"]]
            for name in MEASURES:
                row[name] += rollup[name]
    found = {scope: tuple(row[name] for name in MEASURES) for scope, row in rows.items()}
    return {scope: row for scope, row in found.items() if any(row)}
