"""Messages: one sentence per alert for a person who was asleep a minute ago.

Who, how many dollars, since when, how fast, why (driver and top contributor), and what was done.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Final

from tokenfuse.contracts.clock import to_rfc3339
from tokenfuse.contracts.money import NANO
from tokenfuse.contracts.scope import parse_scope_key
from tokenfuse.decide.decider.facts import VOLUME
from tokenfuse.decide.decider.incidents import amount_nanousd, breadth, is_silence
from tokenfuse.detect.absence import GONE_S

if TYPE_CHECKING:
    from tokenfuse.contracts.alert import Enforcement
    from tokenfuse.contracts.signal import Contributor
    from tokenfuse.decide.decider.state import AlertRecord

VALUE_CHARS_MAX: Final = 60
"""Longest axis value in a sentence; the alert's `scope` has it whole."""

RATIO_MAX: Final = 1_000

SOON_MS: Final = 60_000

DRIVERS: Final = {
    "volume": "more calls", "prompt": "longer prompts", "output": "longer answers", "cache": "lost cache hits",
    "retry": "retries", "tier": "dearer models", "price": "price", "loop": "a loop", "context": "longer contexts",
    "tools": "tool calls", "reasoning": "more reasoning", "latency": "latency",
    "cost": "dearer models or prices",
}  # fmt: skip
QUANTITIES: Final = {
    "prompt": "prompt length", "output": "answer length", "cache": "cache hit rate", "retry": "retry share",
    "tier": "share of frontier models", "context": "context size", "tools": "tool calls per call",
    "reasoning": "reasoning length", "latency": "latency", "cost": "cost per call", "price": "unit price",
    "volume": "number of calls", "loop": "steps of one run",
}  # fmt: skip
RUNS: Final = {
    "steps": "has made", "depth": "is", "tool_calls": "has made", "tokens": "has used", "seconds": "has run for",
    "retries": "has made", "children": "has started", "context": "sends contexts of",
    "repetition": "has made each tool call", "runs": "has started",
}  # fmt: skip
RUNS_MORE: Final = {
    "steps": " steps", "depth": " agents deep", "tool_calls": " tool calls", "retries": " retries",
    "children": " sub-agents", "repetition": " times", "runs": " runs",
}  # fmt: skip
AXES: Final = {"run_id": "run"}
PANES: Final = {"1h": "hour", "1d": "day"}
WINDOWS: Final = {"day": "daily", "month": "monthly"}
DONE: Final = {"block": "blocked", "throttle": "throttled", "downgrade": "downgraded", "warn": "warned"}
REFUSED: Final = {
    "switches_max": "NOT stopped: as many kill switches are engaged as the rule set allows (switches_max)",
    "released_by_person": "not stopped: a person released its kill switch",
    "window_over": "not stopped: its window is over",
}  # fmt: skip


def summary(alert: AlertRecord, enforcement: Enforcement | None, explained: int) -> str:
    """The sentence of one transition; `explained` alerts are part of it."""
    if alert.state == "resolved":
        return _resolved(alert, enforcement)
    again = "" if alert.state == "pending" else _again(alert)
    parts = [
        _fact(alert),
        _others(alert, explained),
        _money(alert),
        _outlook(alert),
        _why(alert),
        again,
        _bar(alert),
        _done(alert, enforcement),
        _held(alert),
    ]
    return "; ".join(part for part in parts if part) + "."


def accepted_words(alert: AlertRecord, most: float) -> str:
    """What is accepted of a rule's scope, up to a level (`levels.level`).

    The value of a drift, else times the threshold, which moves with what is usual.
    """
    facts, measure = alert.facts, QUANTITIES.get(alert.facts.driver, alert.facts.driver)
    if facts.kind == "absence":
        return "that it makes no calls"
    if facts.kind == "novelty":
        return "that it is new and spends"
    if facts.signal == "cache":
        return f"{measure} down to {quantity(max(1 - most, 0.0), facts.unit)}"
    if facts.signal and facts.signal != VOLUME:
        return f"{measure} up to {quantity(most, facts.unit)}"
    return f"up to {quantity(most, 'ratio')} the threshold"


def switch_reason(alert: AlertRecord) -> str:
    """Why a gateway refuses: what its caller is shown."""
    return f"{_fact(alert)} (rule {alert.facts.rule})"


def who(scope: str) -> str:
    """A scope in words.

    >>> who("tenant=acme"), who("feature=chat&prompt_template=v2"), who("")
    ('tenant acme', 'feature chat, prompt template v2', 'all traffic')
    """
    pairs = parse_scope_key(scope).items()
    return ", ".join(_name(axis, value) for axis, value in pairs) or "all traffic"


def usd(nanousd: int) -> str:
    """Dollars as people read them: cents, more digits below a cent.

    >>> usd(1_234_567_890_000), usd(9_995_000_000), usd(4_200_000), usd(-20_000_000), usd(12)
    ('$1,234.57', '$10.00', '$0.0042', '-$0.02', '$0.000000012')
    """
    amount = Decimal(abs(nanousd)) / NANO
    if amount >= Decimal("0.01") or not nanousd:
        text = f"{amount.quantize(Decimal('0.01'), rounding=ROUND_HALF_EVEN):,}"
    else:
        # Two digits that say something, however small the amount is.
        text = f"{amount.quantize(Decimal(1).scaleb(max(amount.adjusted() - 1, -9))):f}"
    return f"{'-' if nanousd < 0 else ''}${text}"


def quantity(value: float, unit: str) -> str:
    """A verdict's value with its unit; money comes as nano-dollars.

    >>> quantity(0.412, "share"), quantity(3120.4, "tokens"), quantity(14.4, "ratio"), quantity(5e9, "usd")
    ('41.2 %', '3,120 tokens', '14.4 times', '$5.00')
    """
    if unit == "usd":
        return usd(round(value))
    if unit == "share":
        return f"{100 * value:.3g} %"
    if unit == "ratio":
        # A scope that used to cost nothing has no ratio worth reading.
        return f"{value:.3g} times" if value < RATIO_MAX else f"more than {RATIO_MAX:,} times"
    return f"{value:,.0f}" if unit == "count" else f"{value:,.0f} {unit}"


def _fact(alert: AlertRecord) -> str:
    """What is the case, since when."""
    evidence, facts, name = alert.evidence, alert.facts, who(alert.scope)
    value, threshold = quantity(evidence.value, facts.unit), quantity(evidence.threshold, facts.unit)
    if facts.kind == "cap":
        window = WINDOWS.get(facts.window, facts.window)
        limit = "budget threshold" if facts.warns_early else "cap"
        text = f"{name} has spent {value}, over its {window} {limit} of {threshold}"
    elif facts.kind == "spike":
        pane = PANES.get(facts.window, facts.window)
        text = f"{name} costs {value} its usual {pane} (limit {threshold})"
    elif facts.kind == "burst":
        text = f"{name} makes {value} as many calls as in its last hour (limit {threshold})"
    elif facts.kind == "burn_rate":
        text = f"{name} burns its budget at {value} the planned rate (limit {threshold}){_exhausted(alert)}"
    elif facts.kind == "agent":
        text = f"{name} {RUNS.get(facts.measure, 'has')} {value}{RUNS_MORE.get(facts.measure, '')} (limit {threshold})"
    elif facts.kind == "price":
        text = f"{name} {_price(facts.measure, evidence.value, threshold)}"
    elif facts.kind == "prompt_budget":
        text = f"{name} sends {value} of input a call (limit {threshold})"
    elif facts.kind == "absence":
        text = f"{name} has made no calls (about {value} are usual, limit {threshold})"
    elif facts.kind == "novelty":
        text = f"{name} is new and has spent {value} (limit {threshold})"
    else:
        measure = QUANTITIES.get(evidence.driver, evidence.driver)
        text = f"{name}: {measure} is {value} (limit {threshold})"
    return _capital(f"{text} since {_time(alert.starts_ms, alert.at_ms)}")


def _others(alert: AlertRecord, explained: int) -> str:
    """Silences have no dollars that would say how far an outage reaches."""
    if not explained or not is_silence(alert):
        return ""
    return "so has 1 more scope" if explained == 1 else f"so have {explained} more scopes"


def _price(measure: str, value: float, threshold: str) -> str:
    share = quantity(abs(value), "share")
    if measure == "off_book":
        return f"is billed {share} {'above' if value > 0 else 'below'} the price book (limit {threshold})"
    part = "spend" if measure == "unpriced_usd" else "calls"
    return f"has no known price for {share} of its {part} (limit {threshold})"


def _exhausted(alert: AlertRecord) -> str:
    """When the budget is gone: the one number that says how soon to act."""
    gone_ms = alert.evidence.exhausted_ms
    if gone_ms is None:
        return ""
    left_ms = gone_ms - alert.evidence.at_ms
    if left_ms < SOON_MS:
        return ", which is exhausted"
    return f", exhausted in {_duration(left_ms)} at {_time(gone_ms, alert.at_ms)},"


def _money(alert: AlertRecord) -> str:
    """What it costs so far, and an hour."""
    evidence = alert.evidence
    if alert.facts.kind == "absence":
        return f"they usually cost {usd(-sum(part.nanousd for part in evidence.drivers))} in that time"
    if not evidence.excess_nanousd and not evidence.excess_nanousd_per_hour:
        return ""
    if alert.facts.kind == "novelty":
        return f"now {usd(evidence.excess_nanousd_per_hour)} an hour"
    over = "above it" if alert.facts.kind == "cap" else "above normal"
    rate = evidence.excess_nanousd_per_hour
    now = f", now {usd(rate)} an hour" if rate > 0 else ""
    return f"{usd(evidence.excess_nanousd)} {over} so far{now}"


def _outlook(alert: AlertRecord) -> str:
    """What the month will come to; the budget or its threshold stands in the fact."""
    found = alert.evidence.outlook
    if found is None:
        return ""
    low, high = usd(found.low_nanousd), usd(found.high_nanousd)
    return f"at this pace {usd(found.nanousd)} ({low} to {high}) by the end of the month"


def _why(alert: AlertRecord) -> str:
    """The driver in dollars, and who contributes most."""
    evidence = alert.evidence
    driver = DRIVERS.get(evidence.driver, evidence.driver)
    most = max(evidence.drivers, key=lambda part: (part.nanousd, part.driver), default=None)
    if most is not None and most.nanousd > 0:
        driver = f"{DRIVERS.get(most.driver, most.driver)} ({usd(most.nanousd)})"
    top = top_contributor(alert)
    who_most = f", largest part {_contributor(alert, top)}" if top is not None else ""
    if alert.facts.kind == "absence":
        return f"most of it {_name(top.axis, top.value)} ({100 * top.share:.0f} %)" if top is not None else ""
    if alert.facts.kind == "novelty":
        return who_most.removeprefix(", ")
    return f"driver: {driver}{who_most}"


def top_contributor(alert: AlertRecord) -> Contributor | None:
    """The axis value that says most besides the scope itself: the narrowest that is half of it, else the largest."""
    own = set(parse_scope_key(alert.scope).items())
    others = [part for part in alert.evidence.contributors if (part.axis, part.value) not in own]
    halves = [part for part in others if part.share >= 0.5]
    if halves:
        return min(halves, key=lambda part: breadth((part.axis,)))
    return max(others, key=lambda part: part.nanousd, default=None)


def _contributor(alert: AlertRecord, part: Contributor) -> str:
    dollars = usd(min(part.nanousd, amount_nanousd(alert)))
    return f"{_name(part.axis, part.value)} ({dollars}, {100 * part.share:.0f} %)"


def _again(alert: AlertRecord) -> str:
    """Flapping, said plainly."""
    times = len(alert.fired_ms)
    return f"fired {times} times within a day" if times > 1 else ""


def _done(alert: AlertRecord, enforcement: Enforcement | None) -> str:
    """What was done about it, or why nothing was."""
    if enforcement is not None:
        until = f"until {_time_of(enforcement.expires_at, alert.at_ms)}"
        if enforcement.mode == "shadow":
            return f"would be {DONE[enforcement.action]} {until} (kill switch in shadow mode)"
        return f"{DONE[enforcement.action]} at the gateways {until}"
    if alert.switch_refused is not None:
        return REFUSED[alert.switch_refused]
    return "this rule stops nothing" if alert.state == "firing" and not alert.facts.acts else ""


def _bar(alert: AlertRecord) -> str:
    """What false alarms have taught, where it fires in spite of them."""
    if alert.bar_factor <= 1 or alert.held is not None:
        return ""
    return f"false alarms have raised its bar to {alert.bar_factor:g} times the threshold"


def _held(alert: AlertRecord) -> str:
    """Why it does not fire, who said so, and until when."""
    held = alert.held
    if held is None:
        return ""
    change = f" (change {_short(held.change)})" if held.change else ""
    return (
        f"held back: {held.words} until {_time(held.until_ms, alert.at_ms)}, says {_short(held.by)}{change}"
    )


def _resolved(alert: AlertRecord, enforcement: Enforcement | None) -> str:
    name, evidence = _capital(who(alert.scope)), alert.evidence
    if alert.resolution == "rule_removed":
        return (
            f"{name}: no longer watched by rule {alert.facts.rule}, which was removed or no longer covers it."
        )
    if alert.resolution == "held_back":
        return f"{name}: rule {alert.facts.rule} is {_held(alert) or 'held back'}."
    if alert.resolution == "cleared_before_firing" and alert.held is not None:
        return f"{name}: rule {alert.facts.rule} was {_held(alert)}; it is back below its threshold."
    if alert.resolution == "cleared_before_firing":
        return f"{name}: rule {alert.facts.rule} was close to firing, and cleared before it did."
    over = "above its cap" if alert.facts.kind == "cap" else "above normal"
    lasted = _duration(alert.at_ms - alert.starts_ms)
    if alert.facts.kind == "absence":
        gone = alert.at_ms - alert.starts_ms >= GONE_S * 1000
        what = "makes no calls any more: silent for" if gone else "makes calls again after"
        return f"{name} {what} {lasted} (rule {alert.facts.rule})."
    if alert.facts.kind == "novelty":
        return f"{name} is new no more: known for {lasted}, it has spent at least {usd(evidence.excess_nanousd)} (rule {alert.facts.rule})."
    parts = [f"{name} is back to normal after {lasted} (rule {alert.facts.rule})"]
    if evidence.excess_nanousd > 0:
        parts.append(f"it cost {usd(evidence.excess_nanousd)} {over}")
    if enforcement is not None:
        parts.append(f"its kill switch stays engaged until {_time_of(enforcement.expires_at, alert.at_ms)}")
    return "; ".join(parts) + "."


def _time(ms: int, now_ms: int) -> str:
    """`14:03 UTC`, with the date where it is another day."""
    text = to_rfc3339(ms)
    day = "" if text[:10] == to_rfc3339(now_ms)[:10] else f"{text[:10]} "
    return f"{day}{text[11:16]} UTC"


def _time_of(rfc3339: str, now_ms: int) -> str:
    day = "" if rfc3339[:10] == to_rfc3339(now_ms)[:10] else f"{rfc3339[:10]} "
    return f"{day}{rfc3339[11:16]} UTC"


def _duration(ms: int) -> str:
    minutes = max(ms // 60_000, 0)
    if minutes < 1:
        return f"{max(ms // 1000, 0)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _name(axis: str, value: str) -> str:
    return f"{AXES.get(axis, axis.replace('_', ' '))} {_short(value)}"


def _short(value: str) -> str:
    """A value that comes from outside: one line, bounded, nothing that a terminal obeys."""
    text = "".join(char if char.isprintable() else "?" for char in value)
    return text if len(text) <= VALUE_CHARS_MAX else text[: VALUE_CHARS_MAX - 1] + "…"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
