"""Slack message: an AlertView as text, blocks and metadata, within Slack's limits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tokenfuse.notify.view import view
from tokenfuse.notify.words import CUT, clip

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenfuse.contracts.alert import Alert
    from tokenfuse.notify.view import AlertView

BLOCKS_MAX: Final = 50  # https://docs.slack.dev/reference/block-kit/blocks/
HEADER_CHARS_MAX: Final = 150  # https://docs.slack.dev/reference/block-kit/blocks/header-block/
SECTION_CHARS_MAX: Final = 3000  # https://docs.slack.dev/reference/block-kit/blocks/section-block/
FIELDS_MAX: Final = 10  # the same page
FIELD_CHARS_MAX: Final = 2000  # the same page
CONTEXT_ELEMENTS_MAX: Final = 10  # https://docs.slack.dev/reference/block-kit/blocks/context-block/
TEXT_CHARS_MAX: Final = 40_000  # https://docs.slack.dev/reference/methods/chat.postMessage/#truncating
BLOCKS_CHARS_MAX: Final = 12_000
"""All blocks as JSON. Undocumented: `msg_blocks_too_long` was seen from about 13,200 on
(https://github.com/slackapi/bolt-js/issues/2509)."""

EVENT_TYPE: Final = "tokenfuse_alert"
"""Metadata by which the own message is found again (https://docs.slack.dev/messaging/message-metadata/)."""

_SHORT_CHARS_MAX: Final = 500
"""Fallback text is read on a watch; and one fact is a few words."""


def slack_message(alert: Alert) -> dict[str, Any]:
    """Arguments of chat.postMessage and chat.update beside the channel: `text`, `blocks`, `metadata`."""
    shown = view(alert)
    return {
        "text": mrkdwn(shown.line, min(TEXT_CHARS_MAX, _SHORT_CHARS_MAX)),
        "blocks": _fitting(_quiet(shown) if shown.quiet else _loud(shown)),
        "metadata": {
            "event_type": EVENT_TYPE,
            "event_payload": {
                "fingerprint": alert.fingerprint,
                "starts_at": alert.starts_at,
                "seq": alert.seq,
                "state": alert.state,
            },
        },
    }


def mrkdwn(text: str, chars_max: int) -> str:
    """Text in Slack's markup: its three control characters escaped, so a tenant's name cannot call @channel.

    >>> mrkdwn("<!channel> R&D", 100)
    '&lt;!channel&gt; R&amp;D'
    """
    # https://docs.slack.dev/messaging/formatting-message-text/#escaping
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    cut = clip(escaped, chars_max)
    if cut == escaped:
        return cut
    kept = cut.removesuffix(CUT)
    start = kept.rfind("&")
    torn = start >= 0 and ";" not in kept[start:]  # half an escape would be shown as it is
    return (kept[:start] if torn else kept) + CUT


def _loud(shown: AlertView) -> list[dict[str, Any]]:
    """Blocks of a page, a ticket, or their resolution, the most important first."""
    blocks = [_header(f"{shown.mark} {shown.title}"), _section(_escaped(shown.summary)), _fields(shown.facts)]
    blocks += _listed("Why, in dollars", map(_escaped, shown.why), _escaped(shown.change))
    blocks += _listed("Who", map(_escaped, shown.who))
    blocks.append(_section(f"*What was done*\n{_escaped(shown.done)}"))
    blocks += _listed("What to do", _todo(shown))
    if shown.examples:
        blocks.append(_context("Example events: " + " ".join(map(_code, shown.examples))))
    blocks.append(_context(_escaped(shown.footer)))
    return blocks


def _quiet(shown: AlertView) -> list[dict[str, Any]]:
    """An info alert is one small line."""
    return [_context(_escaped(shown.line)), _context(_escaped(shown.footer))]


def _todo(shown: AlertView) -> list[str]:
    runbook = [f"Read the runbook: {_link(shown.runbook)}"] if shown.runbook else []
    return [*runbook, *(f"{label}: {_code(command)}" for label, command in shown.commands)]


def _fitting(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Blocks within the limits of a message; what goes is the next to last, the footer stays."""
    while len(blocks) > BLOCKS_MAX or len(json.dumps(blocks, ensure_ascii=False)) > BLOCKS_CHARS_MAX:
        blocks = [*blocks[:-2], blocks[-1]]
    return blocks


def _header(text: str) -> dict[str, Any]:
    return {
        "type": "header",
        "text": {"type": "plain_text", "text": clip(text, HEADER_CHARS_MAX), "emoji": False},
    }


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(text, SECTION_CHARS_MAX)}


def _listed(title: str, lines: Iterable[str], first: str = "") -> list[dict[str, Any]]:
    text = "\n".join([first] * bool(first) + [f"• {line}" for line in lines])
    return [_section(f"*{title}*\n{text}")] if text else []


def _fields(facts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    texts = [_text(f"*{label}*\n{_escaped(value)}", FIELD_CHARS_MAX) for label, value in facts]
    return {"type": "section", "fields": texts[:FIELDS_MAX]}


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [_text(text, SECTION_CHARS_MAX)]}


def _text(text: str, chars_max: int) -> dict[str, Any]:
    # verbatim: Slack must not turn a tenant's name that looks like a host into a link.
    return {"type": "mrkdwn", "text": clip(text, chars_max), "verbatim": True}


def _escaped(text: str) -> str:
    return mrkdwn(text, SECTION_CHARS_MAX - _SHORT_CHARS_MAX)


def _code(text: str) -> str:
    """A command or an id as code; a backtick would end the code, and no shell needs ours."""
    return f"`{_escaped(text.replace('`', chr(39)))}`"


def _link(url: str) -> str:
    """A link; anything else, such as a file's name, is shown as it is."""
    text = _escaped(url)
    is_link = url.startswith(("https://", "http://")) and not set(url) & set("<>| ")
    return f"<{text}>" if is_link else text
