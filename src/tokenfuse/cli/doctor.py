"""`tokenfuse doctor`: what is wrong with my installation, and what to do. Exit 0 nothing, 1 something, 2 no broker."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from tokenfuse.cli.common import (
    EXIT_FOUND,
    BootstrapServersOption,
    Output,
    OutputOption,
    broker_settings,
    print_json,
    print_table,
    run_async,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenfuse.runtime.consumers import Lag
    from tokenfuse.runtime.settings import Settings


class Health(StrEnum):
    """Verdict on one part."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Check:
    """One part of the installation. `advice` is what the operator should do."""

    part: str
    health: Health
    found: str
    advice: str = ""


def register(parent: typer.Typer) -> None:
    """Adds the verb to the command line."""
    parent.command("doctor")(doctor)


def doctor(bootstrap_servers: BootstrapServersOption = None, output: OutputOption = Output.table) -> None:
    """Say what is wrong with this installation, and what to do about it."""
    from tokenfuse.cli.doctor_local import local_checks

    settings = broker_settings(bootstrap_servers, output)
    checks = [
        *variable_checks(),
        *run_async(settings, lambda: _broker_checks(settings), output),
        *local_checks(settings),
    ]
    wrong = any(check.health is Health.WRONG for check in checks)
    if output is Output.json:
        print_json({"ok": not wrong, "checks": [asdict(check) for check in checks]})
    else:
        rows = [(each.part, each.health, each.found, each.advice) for each in checks]
        print_table(("part", "health", "found", "do"), rows)
    raise typer.Exit(EXIT_FOUND if wrong else 0)


def variable_checks() -> Iterator[Check]:
    """Variables that nobody reads."""
    from tokenfuse.runtime.settings_sources import unknown_variables

    for sentence in unknown_variables(os.environ):
        yield Check("settings", Health.WARNING, sentence, "correct the name, or unset it")


async def _broker_checks(settings: Settings) -> list[Check]:
    from tokenfuse.runtime import topics
    from tokenfuse.runtime.broker import probe_traits
    from tokenfuse.runtime.kafka import bootstrap_servers, security

    where = bootstrap_servers(settings)
    traits = await probe_traits(where, **security(settings))
    checks = [Check("broker", Health.OK, where)]
    if not traits.durable:
        advice = "for production set TOKENFUSE_BOOTSTRAP_SERVERS"
        checks = [Check("broker", Health.WARNING, f"{where}, in memory only", advice)]
    findings = await topics.check(settings)
    checks += [
        Check(
            f"topic {each.topic}",
            Health.WRONG,
            f"{each.problem}: {each.found}, wanted {each.wanted}",
            each.advice,
        )
        for each in findings
    ]
    if not findings:
        checks.append(Check("topics", Health.OK, f"{len(topics.wanted(settings))} as they must be"))
    missing = {each.topic for each in findings if each.problem is topics.Problem.MISSING}
    return [*checks, *await _consumer_checks(settings), *await _dead_letters(settings, missing)]


async def _consumer_checks(settings: Settings) -> list[Check]:
    """A broker that lets nobody look at groups does not stop the other checks."""
    from aiokafka.errors import KafkaError

    from tokenfuse.runtime.consumers import lags

    try:
        return [consumer_check(lag) for lag in await lags(settings)]
    except (KafkaError, ValueError) as error:
        advice = "the right to describe groups is missing, or the broker cannot; look at each role's /readyz"
        return [Check("consumers", Health.WARNING, f"unknown: {error}", advice)]


def consumer_check(lag: Lag) -> Check:
    """Verdict on a role by its consumer group."""
    part = f"consumer {lag.role}"
    if not lag.members:
        return Check(part, Health.WRONG, "does not run", f"start it: tokenfuse run --role {lag.role}")
    if lag.role == "notify":
        return Check(part, Health.OK, f"receivers that follow {lag.topic}: {lag.members}")
    found = f"{lag.records:,} records behind on {lag.topic}, members: {lag.members}"
    if lag.still:
        numbers = ", ".join(map(str, lag.still[:8])) + (" ..." if len(lag.still) > 8 else "")
        advice = "it is stuck or recovers: see its log and /readyz; if neither says why, restart it"
        return Check(part, Health.WRONG, f"{found}; stands still on partitions {numbers}", advice)
    return Check(part, Health.OK, found)


async def _dead_letters(settings: Settings, missing: set[str]) -> list[Check]:
    from tokenfuse.contracts.topics import DEADLETTER
    from tokenfuse.runtime.consumers import record_count

    topic = settings.topic(DEADLETTER)
    count = 0 if topic in missing else await record_count(settings, topic)
    if not count:
        return []
    advice = "the headers of each say reason and path: correct the producer, publish again"
    return [Check("dead letters", Health.WARNING, f"{count:,} on {topic}", advice)]
