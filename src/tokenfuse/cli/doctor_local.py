"""What `doctor` sees on this machine: rules, prices, receivers, and the roles of this state directory."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from tokenfuse.cli.doctor import Check, Health
from tokenfuse.cli.doctor_bounds import bound_checks, samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenfuse.runtime.settings import Settings

ANSWER_SECONDS_MAX: Final = 2.0
UNPRICED: Final = "tokenfuse_unpriced_total"
RELOADED: Final = "tokenfuse_rules_last_reload_successful"


def local_checks(settings: Settings) -> Iterator[Check]:
    """Everything that needs no broker."""
    yield rules_check(settings)
    yield from receiver_checks(settings)
    yield prices_check()
    yield from role_checks(settings)


def rules_check(settings: Settings) -> Check:
    """The rule files as they are on disk here."""
    from tokenfuse.rules.errors import RuleFileError
    from tokenfuse.rules.lint import without_scopes
    from tokenfuse.rules.loader import load

    try:
        ruleset = load(settings.rules_dir)
    except RuleFileError as error:
        more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
        advice = "correct it, `tokenfuse rules check` shows all; the rules in force stay until then"
        return Check("rules", Health.WRONG, f"{error.problems[0]}{more}", advice)
    idle = [rule.id for rule in ruleset.rules if without_scopes(rule.axis, settings.further_axes)]
    if idle:
        advice = "their axes are none of TOKENFUSE_FURTHER_AXES: add them there, for all roles"
        return Check("rules", Health.WARNING, f"judge nothing: {', '.join(idle)}", advice)
    return Check("rules", Health.OK, f"{len(ruleset.rules)} rules in {settings.rules_dir}, id {ruleset.id}")


def receiver_checks(settings: Settings) -> Iterator[Check]:
    """Whether anybody is told."""
    both = {"Slack": settings.slack_bot_token, "PagerDuty": settings.pagerduty_routing_key}
    names = [name for name, secret in both.items() if secret is not None]
    if names:
        yield Check(
            "receivers", Health.OK, ", ".join(names), "`tokenfuse notify test` sends one through each"
        )
        return
    advice = "set TOKENFUSE_SLACK_BOT_TOKEN or TOKENFUSE_PAGERDUTY_ROUTING_KEY where notify runs"
    yield Check("receivers", Health.WARNING, "none in these settings: alerts go to the log only", advice)


def prices_check() -> Check:
    """Which price data counts here."""
    from tokenfuse.pricing.book import PriceBook

    return Check("prices", Health.OK, PriceBook().version)


def role_checks(settings: Settings) -> Iterator[Check]:
    """Roles that run, or should, on this machine with this state directory."""
    from tokenfuse.runtime.roles import ROLES, role_file

    for role in ROLES:
        file = role_file(settings, role)
        try:
            where = json.loads(file.read_text())
            at, pid = f"http://{where['host']}:{where['port']}", where["pid"]
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError, KeyError):
            yield Check(f"role {role}", Health.WRONG, f"{file} cannot be read", "remove it, restart the role")
            continue
        yield _role_check(role, at, pid)
        yield from _metric_checks(role, at)


def _role_check(role: str, at: str, pid: Any) -> Check:
    part = f"role {role}"
    try:
        _get(f"{at}/readyz")
    except urllib.error.HTTPError as error:
        text = error.read(1000).decode(errors="replace").strip()
        return Check(part, Health.WRONG, f"{text}, pid {pid}", "its log says what it waits for")
    except (OSError, http.client.HTTPException) as error:
        return Check(
            part, Health.WRONG, f"no answer at {at}: {error}", "start it again, or remove its state file"
        )
    return Check(part, Health.OK, f"ready, pid {pid}")


def _metric_checks(role: str, at: str) -> Iterator[Check]:
    try:
        found = list(samples(_get(f"{at}/metrics")))
    except (OSError, http.client.HTTPException):
        return
    yield from bound_checks(role, found)
    plain = {name: value for name, labels, value in found if not labels}
    if role == "ingest" and (unpriced := plain.get(UNPRICED, 0)):
        stale = f"stale: {unpriced:,.0f} calls of models without a price since ingest started, all estimated"
        yield Check("prices", Health.WARNING, stale, "install a newer genai-prices, then restart ingest")
    if role == "decider" and plain.get(RELOADED) == 0:
        advice = "correct the files: `tokenfuse rules check` with the decider's TOKENFUSE_RULES_DIR"
        yield Check(
            "rules in force", Health.WRONG, "the decider has not taken up the files on its disk", advice
        )


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=ANSWER_SECONDS_MAX) as response:  # noqa: S310 - always http
        return str(response.read().decode(errors="replace"))
