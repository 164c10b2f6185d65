"""`tokenfuse doctor`: what is wrong with my installation, and what to do. Exit 0 nothing, 1 something, 2 no broker."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
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
    """Look at settings, broker, topics, rules, consumers and roles, and say what to do about each fault."""
    settings = broker_settings(bootstrap_servers, output)
    checks = [
        *run_async(settings, lambda: _broker_checks(settings), output),
        _rules(settings),
        _receivers(settings),
    ]
    checks += _roles(settings)
    wrong = any(check.health is Health.WRONG for check in checks)
    if output is Output.json:
        print_json({"ok": not wrong, "checks": [vars(check) for check in checks]})
    else:
        print_table(
            ("part", "health", "found", "do"), [(c.part, c.health, c.found, c.advice) for c in checks]
        )
    raise typer.Exit(EXIT_FOUND if wrong else 0)


async def _broker_checks(settings: Settings) -> list[Check]:
    from tokenfuse.runtime import topics
    from tokenfuse.runtime.broker import probe_traits
    from tokenfuse.runtime.consumers import lags
    from tokenfuse.runtime.kafka import bootstrap_servers, security

    traits = await probe_traits(bootstrap_servers(settings), **security(settings))
    where = bootstrap_servers(settings)
    kept = Check("broker", Health.OK, where)
    if not traits.durable:
        kept = Check(
            "broker", Health.WARNING, f"{where}, in memory", "for production set TOKENFUSE_BOOTSTRAP_SERVERS"
        )
    findings = await topics.check(settings)
    found = [
        Check(f"topic {f.topic}", Health.WRONG, f"{f.problem}: {f.found}, wanted {f.wanted}", f.advice)
        for f in findings
    ]
    topic_checks = found or [Check("topics", Health.OK, f"{len(topics.wanted(settings))} as they must be")]
    lag_checks = [
        Check(
            f"group {lag.group}",
            Health.OK if lag.members else Health.WRONG,
            lag.text,
            "" if lag.members else lag.advice,
        )
        for lag in await lags(settings)
    ]
    return [kept, *topic_checks, *lag_checks]


def _rules(settings: Settings) -> Check:
    from tokenfuse.rules.errors import RuleFileError
    from tokenfuse.rules.loader import load

    try:
        ruleset = load(settings.rules_dir)
    except RuleFileError as error:
        return Check(
            "rules", Health.WRONG, str(error), "run `tokenfuse rules check`; the old rules stay in force"
        )
    return Check("rules", Health.OK, f"{len(ruleset.rules)} rules in {settings.rules_dir}, id {ruleset.id}")


def _receivers(settings: Settings) -> Check:
    names = [
        n
        for n, on in (("Slack", settings.slack_bot_token), ("PagerDuty", settings.pagerduty_routing_key))
        if on
    ]
    if not names:
        return Check(
            "receivers",
            Health.WARNING,
            "terminal only",
            "set TOKENFUSE_SLACK_BOT_TOKEN or _PAGERDUTY_ROUTING_KEY",
        )
    return Check("receivers", Health.OK, ", ".join(names), "`tokenfuse notify test` sends one through each")


def _roles(settings: Settings) -> list[Check]:
    """Roles that run on this machine with this state directory."""
    from tokenfuse.runtime.roles import ROLES, role_file

    checks = []
    for role in ROLES:
        file = role_file(settings, role)
        if not file.exists():
            continue
        where = json.loads(file.read_text())
        url = f"http://{where['host']}:{where['port']}/readyz"
        try:
            with urllib.request.urlopen(url, timeout=2):
                checks.append(Check(f"role {role}", Health.OK, f"ready, pid {where['pid']}"))
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace").strip()
            checks.append(Check(f"role {role}", Health.WRONG, text, "its log says what it waits for"))
        except OSError as error:
            checks.append(Check(f"role {role}", Health.WRONG, f"no answer at {url}: {error}", "restart it"))
    return checks
