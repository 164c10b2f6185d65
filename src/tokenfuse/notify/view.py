"""AlertView: every text of a notification, worked out once; Slack, PagerDuty and the terminal only lay it out."""

from __future__ import annotations

import shlex
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from tokenfuse.contracts.axes import AXES
from tokenfuse.notify.words import clip, dollars, measure, moment, name, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenfuse.contracts.alert import Alert

TEST_RULE: Final = "tokenfuse-notify-test"
"""Rule of the alert that `tokenfuse notify test` sends; receivers show it as a test."""

# Lists are cut to what is read at night; the rest is one `tokenfuse alerts list --output json` away.
DRIVERS_MAX: Final = 6
CONTRIBUTORS_MAX: Final = 5
EXAMPLES_MAX: Final = 5
NAME_CHARS_MAX: Final = 80
SUMMARY_CHARS_MAX: Final = 1500

_WHAT_KIND: Final = {
    "cap": "Over the spending cap",
    "burn_rate": "Budget is burning too fast",
    "burst": "Runaway spend",
    "spike": "Spend spike",
    "price": "Price off the book or unknown",
    "prompt_budget": "Prompts over budget",
    "absence": "Cost events stopped",
    "novelty": "New spender",
}
_WHAT_DRIVER: Final = {
    "volume": "More calls than normal",
    "prompt": "Prompts grew",
    "output": "Answers grew",
    "cache": "Cache hits lost",
    "retry": "Retries multiply",
    "tier": "Dearer models or tiers",
    "price": "Unit price changed",
    "loop": "Agent in a loop",
    "context": "Context keeps growing",
    "tools": "Tool calls repeat",
    "reasoning": "Reasoning grew",
    "latency": "Calls got slower",
    "cost": "Calls got dearer",
}
_WHY: Final = {
    "volume": "volume of calls",
    "prompt": "length of prompts",
    "output": "length of answers",
    "cache": "lost cache hits",
    "retry": "retries",
    "tier": "mix of models and tiers",
    "price": "unit prices",
    "loop": "loop of an agent",
    "context": "length of context",
    "tools": "tool calls",
    "reasoning": "reasoning",
    "latency": "latency",
    "cost": "dearer models or unit prices",
}
_REFUSED: Final = {
    "switches_max": "as many kill switches are engaged as the rule set allows (switches_max)",
    "released_by_person": "a person released its kill switch",
    "window_over": "the window of the rule is over",
}
_MARK: Final = {"page": "🔴", "ticket": "🟠", "info": "🔵"}
_SEVERITY: Final = {"page": "PAGE", "ticket": "TICKET", "info": "INFO"}
RESOLVED_MARK: Final = "🟢"


class AlertView(Struct, frozen=True, kw_only=True):
    """What is said about an alert. Plain text, unescaped, bounded in length.

    Attributes:
        mark: one emoji for severity or resolution. title: what, who, dollars so far and per hour.
        line: title and summary in one line, for notifications and quiet alerts.
        facts: pairs of label and value. change: what was spent, what is usual, the difference. why: its parts by driver.
        who: dollars by contributor.
        done: what was enforced. commands: label and command to type.
        footer: rule, fingerprint, times.
    """

    resolved: bool
    quiet: bool
    mark: str
    title: str
    summary: str
    line: str
    facts: tuple[tuple[str, str], ...]
    change: str
    why: tuple[str, ...]
    who: tuple[str, ...]
    done: str
    commands: tuple[tuple[str, str], ...]
    runbook: str | None
    examples: tuple[str, ...]
    footer: str


def view(alert: Alert) -> AlertView:
    """Everything a notification says."""
    resolved = alert.state == "resolved"
    mark = RESOLVED_MARK if resolved else _MARK.get(alert.severity, "🟠")
    title = _title(alert)
    summary = name(alert.summary, SUMMARY_CHARS_MAX) if alert.summary.strip() else title
    return AlertView(
        resolved=resolved,
        quiet=alert.severity == "info",
        mark=mark,
        title=title,
        summary=summary,
        line=f"{mark} {title}: {summary}",
        facts=_facts(alert),
        change=_change(alert),
        why=_why(alert),
        who=_who(alert),
        done=_done(alert),
        commands=() if resolved else _commands(alert),
        runbook=name(alert.runbook, 1000) if alert.runbook and not resolved else None,
        examples=()
        if resolved
        else tuple(name(event, NAME_CHARS_MAX) for event in alert.examples[:EXAMPLES_MAX]),
        footer=_footer(alert),
    )


def scope_text(scope: dict[str, str], chars_max: int = NAME_CHARS_MAX) -> str:
    """A scope in words, the six axes first.

    >>> scope_text({"feature": "chat", "tenant": "acme"}), scope_text({})
    ('tenant acme, feature chat', 'everything')
    """
    order = {axis: place for place, axis in enumerate(AXES)}
    axes = sorted(scope, key=lambda axis: (order.get(axis, len(order)), axis))
    return (
        ", ".join(f"{axis.replace('_', ' ')} {name(scope[axis], chars_max)}" for axis in axes) or "everything"
    )


def what(alert: Alert) -> str:
    """What goes wrong, in a few words: the driver for drifts and agents, the kind for the others."""
    if alert.rule == TEST_RULE:
        return "TEST, please ignore"
    by_driver = _WHAT_DRIVER.get(alert.driver, alert.driver)
    return _WHAT_KIND.get(alert.kind, by_driver)


def _title(alert: Alert) -> str:
    # Header blocks hold 150 characters: who is cut first, dollars never.
    who = scope_text(alert.scope, 30)
    if alert.state == "resolved":
        total = (
            "" if _is_silence(alert) else f"{_total(alert)} {'spent' if _is_cap(alert) else 'in total'} · "
        )
        return f"Resolved: {what(alert)} · {clip(who, 60)} · {total}lasted {span(alert.starts_at, alert.at)}"
    severity = _SEVERITY.get(alert.severity, alert.severity)
    return " · ".join((f"{severity}: {what(alert)}", clip(who, 60), *_money(alert)))


def _money(alert: Alert) -> tuple[str, ...]:
    """Dollars so far and per hour; nothing for what costs nothing, such as events that stopped."""
    per_hour = dollars(alert.excess_usd_per_hour)
    if _is_cap(alert):
        return (f"{_total(alert)} spent", f"{per_hour}/h")
    return () if _total(alert) == per_hour == "$0" else (f"{_total(alert)} so far", f"{per_hour}/h")


def _total(alert: Alert) -> str:
    """What was spent under a cap, which is what people know of it; what was lost above normal otherwise."""
    return measure(alert.value, "usd") if _is_cap(alert) else dollars(alert.excess_usd)


def _is_cap(alert: Alert) -> bool:
    return alert.kind == "cap" and alert.unit == "usd"


def _is_silence(alert: Alert) -> bool:
    return alert.kind == "absence"


def _silence(alert: Alert) -> tuple[tuple[str, str], ...]:
    """What is missing; no dollars are above anything."""
    usual = dollars(str(-sum(Decimal(part.usd) for part in alert.drivers)))
    calls = f"about {measure(round(alert.value), alert.unit)} calls, {usual}"
    return ("Usual in that time", calls), (
        "Told from",
        f"{measure(round(alert.threshold), alert.unit)} calls",
    )


def _facts(alert: Alert) -> tuple[tuple[str, str], ...]:
    observed = f"{measure(alert.value, alert.unit)}, limit {measure(alert.threshold, alert.unit)}"
    above = "above the cap" if _is_cap(alert) else "spent" if alert.kind == "novelty" else "above normal"
    lasted = span(alert.starts_at, alert.at)
    if alert.state == "resolved":
        return (
            ("From", moment(alert.starts_at)),
            ("To", f"{moment(alert.at)} ({lasted})"),
            *(() if _is_silence(alert) else ((f"Total {above}", dollars(alert.excess_usd)),)),
            ("Scope", scope_text(alert.scope)),
        )
    acked = (("Acknowledged by", name(alert.acked_by, NAME_CHARS_MAX)),) if alert.acked_by else ()
    since = ("Since", f"{moment(alert.starts_at)} ({lasted})"), ("Scope", scope_text(alert.scope))
    if _is_silence(alert):
        return (*since, *_silence(alert), *acked)
    return (
        *since,
        (f"So far {above}", dollars(alert.excess_usd)),
        ("If it goes on", f"{dollars(alert.excess_usd_per_hour)} per hour"),
        ("Observed", observed),
        *acked,
    )


def _change(alert: Alert) -> str:
    """What was spent, what is usual, and the difference, which is what the drivers add up to."""
    change = alert.cost_change
    if change is None or not alert.drivers:
        return ""
    more = dollars(str(Decimal(change.spent_usd) - Decimal(change.usual_usd)), signed=True)
    spent, usual = ("nothing" if usd == "0" else dollars(usd) for usd in (change.spent_usd, change.usual_usd))
    normal = f"of which {usual} within its limit" if _is_run(alert) else f"usually {usual}"
    # An alert that is over has the figures of its last minutes.
    until = f" until {moment(change.ends_at)}" if alert.state == "resolved" else ""
    return f"Spent {spent} in {span(change.starts_at, change.ends_at)}{until}, {normal}: {more}"


def _is_run(alert: Alert) -> bool:
    return alert.kind == "agent" and "run_id" in alert.scope


def _why(alert: Alert) -> tuple[str, ...]:
    """The largest parts first; parts that are nothing are no news, small ones are put together."""
    parts = [(part, abs(Decimal(part.usd))) for part in alert.drivers]
    told = [part for part, size in sorted(parts, key=lambda item: -item[1]) if size]
    lines = [
        f"{dollars(part.usd, signed=True)} {_WHY.get(part.driver, part.driver)}"
        for part in told[:DRIVERS_MAX]
    ]
    rest = sum((Decimal(part.usd) for part in told[DRIVERS_MAX:]), Decimal(0))
    return (*lines, f"{dollars(str(rest), signed=True)} all else") if len(told) > len(lines) else tuple(lines)


def _who(alert: Alert) -> tuple[str, ...]:
    lines = [
        f"{dollars(part.usd)} ({part.share:.0%}) {part.axis.replace('_', ' ')} {name(part.value, NAME_CHARS_MAX)}"
        for part in alert.contributors[:CONTRIBUTORS_MAX]
    ]
    return _with_rest(lines, len(alert.contributors))


def _with_rest(lines: Sequence[str], total: int) -> tuple[str, ...]:
    rest = total - len(lines)
    return (*lines, f"and {rest} more") if rest else tuple(lines)


def _done(alert: Alert) -> str:
    """What was done, and what was not: nobody should have to guess whether money still flows."""
    switch = alert.enforcement
    if switch is None:
        refused = _REFUSED.get(
            alert.switch_refused or "", f"the rule's action is {alert.action}, no switch is engaged"
        )
        return (
            f"Nothing was stopped: {refused}."
            if alert.action
            else "Nothing was stopped: the rule only tells."
        )
    until = f"until {moment(switch.expires_at)}, generation {switch.generation}"
    if switch.mode == "shadow":
        return f"Shadow only: {switch.action} would be in force {until}. Nothing was stopped."
    return f"Kill switch engaged: {switch.action} {until}."


def _commands(alert: Alert) -> tuple[tuple[str, str], ...]:
    """What to type; a scope that the command line cannot name, or that makes no calls, gets no switch command."""
    command = ("Acknowledge", f"tokenfuse alerts ack {shlex.quote(alert.fingerprint)}")
    acknowledge = () if alert.acked_by or alert.rule == TEST_RULE else (command,)
    if alert.rule == TEST_RULE or _is_silence(alert) or not alert.scope or not set(alert.scope) <= set(AXES):
        return acknowledge
    selector = " ".join(
        f"--{axis.replace('_', '-')} {shlex.quote(alert.scope[axis])}" for axis in AXES if axis in alert.scope
    )
    # A command that was cut or altered on its way would stop something else.
    if len(selector) > 4 * NAME_CHARS_MAX or "`" in selector or not selector.isprintable():
        return acknowledge
    if alert.enforcement is not None and alert.enforcement.mode == "enforce":
        return (("Let it through again", f"tokenfuse killswitch release {selector}"), *acknowledge)
    reason = shlex.quote(f"alert {alert.fingerprint}")
    stop = f"tokenfuse killswitch engage {selector} --action block --ttl 1h --reason {reason}"
    return (("Stop it now", stop), *acknowledge)


def _footer(alert: Alert) -> str:
    rule = name(alert.rule, NAME_CHARS_MAX)
    return f"rule {rule} · alert {alert.fingerprint} · as of {moment(alert.at)}"
