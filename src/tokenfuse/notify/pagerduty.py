"""PagerDuty, Events API v2: one incident per `dedup_key`: trigger, acknowledge, resolve."""

from __future__ import annotations

import asyncio
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pagerduty import Error, EventsApiV2Client, HttpError, UrlError

from tokenfuse.contracts.scope import scope_key
from tokenfuse.notify.contract import Delivered, Failed, Reason, Retry
from tokenfuse.notify.http import is_loopback, retry_after_seconds, status_reason
from tokenfuse.notify.selection import is_acknowledgement, is_open
from tokenfuse.notify.view import TEST_RULE, view
from tokenfuse.notify.words import clip

if TYPE_CHECKING:
    from tokenfuse.contracts.alert import Alert
    from tokenfuse.notify.contract import DeliveryRecord, Outcome

# https://developer.pagerduty.com/docs/send-alert-event
SUMMARY_CHARS_MAX: Final = 1024
EVENT_BYTES_MAX: Final = 512_000  # the same page; a larger event is refused whole
CALL_SECONDS_MAX: Final = 10.0
THREADS_MAX: Final = 2
"""The library is synchronous; one call at a time, and one more while the first hangs."""

_SEVERITY: Final = {"page": "critical", "ticket": "warning", "info": "info"}


class PagerDutyNotifier:
    """One PagerDuty service. Takes pages only, and no updates: a page is not repeated for new figures.

    Args:
        routing_key: of an Events API v2 integration, 32 characters.
        base_url: `https://events.eu.pagerduty.com` for the EU region.

    Raises:
        ValueError: a URL to which the key must not be sent.
    """

    name = "pagerduty"
    severities = frozenset({"page"})
    update_seconds_min: float | None = None

    def __init__(self, routing_key: str, base_url: str) -> None:
        self._client = _client(routing_key, base_url.rstrip("/").removesuffix("/v2/enqueue"))
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="pagerduty")

    async def send(self, incident: Alert, earlier: DeliveryRecord | None) -> Outcome:
        """Trigger, acknowledge or resolve; repeating any of them changes nothing at PagerDuty."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._send, incident, earlier)

    async def close(self) -> None:
        """Lets a call that is under way go."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _send(self, incident: Alert, earlier: DeliveryRecord | None) -> Outcome:
        key = dedup_key(incident)
        try:
            for event in events(incident, earlier):
                self._client.send_event(event.pop("event_action"), dedup_key=key, **event)
        except HttpError as error:
            return _refused(error)
        except Error as error:
            reason = Reason.TIMEOUT if "Timeout" in type(error.__cause__).__name__ else Reason.NETWORK_ERROR
            return Retry(after_seconds=None, reason=reason, detail=str(error.__cause__ or error))
        return Delivered(reference=key)


def dedup_key(incident: Alert) -> str:
    """Identity at PagerDuty: the alert and when it began, so the same alert firing again later pages again.

    Hashed, since a key may have 255 characters (https://developer.pagerduty.com/docs/send-alert-event).
    """
    return hashlib.sha256(f"{incident.fingerprint}\n{incident.starts_at}".encode()).hexdigest()


def events(incident: Alert, earlier: DeliveryRecord | None) -> list[dict[str, Any]]:
    """The events that bring PagerDuty to the state of the incident, without key and routing key."""
    if incident.state == "resolved":
        return [{"event_action": "resolve"}]
    told: list[dict[str, Any]] = [] if is_open(earlier) else [trigger(incident)]
    if is_acknowledgement(incident, earlier if is_open(earlier) else None):
        told.append({"event_action": "acknowledge"})
    return told


def trigger(incident: Alert) -> dict[str, Any]:
    """A trigger event that fits into what PagerDuty takes."""
    shown = view(incident)
    event: dict[str, Any] = {
        "event_action": "trigger",
        "payload": {
            "summary": clip(f"{shown.title}: {shown.summary}", SUMMARY_CHARS_MAX),
            "source": scope_key(incident.scope) or "everything",
            "severity": "info" if incident.rule == TEST_RULE else _SEVERITY.get(incident.severity, "error"),
            "timestamp": incident.starts_at,
            "component": incident.scope.get("feature", "llm"),
            "group": incident.scope.get("tenant", "everything"),
            "class": f"{incident.kind}/{incident.driver}",
            "custom_details": _details(incident),
        },
        "client": "TokenFuse",
    }
    if shown.runbook and shown.runbook.startswith(("https://", "http://")):
        event["links"] = [{"href": shown.runbook, "text": "Runbook"}]
    return _fitting(event)


def _details(incident: Alert) -> dict[str, Any]:
    shown = view(incident)
    return {
        **dict(shown.facts),
        "Why, in dollars": [*([shown.change] if shown.change else []), *shown.why],
        "Who": list(shown.who),
        "What was done": shown.done,
        "What to do": [f"{label}: {command}" for label, command in shown.commands],
        "Runbook": shown.runbook or "none in the rule",
        "Example events": list(shown.examples),
        "excess_usd": incident.excess_usd,
        "excess_usd_per_hour": incident.excess_usd_per_hour,
        "rule": incident.rule,
        "fingerprint": incident.fingerprint,
    }


def _fitting(event: dict[str, Any]) -> dict[str, Any]:
    """Without its details, visibly, where it would be too large: the page itself must arrive."""
    if len(json.dumps(event)) > EVENT_BYTES_MAX // 2:
        event["payload"]["custom_details"] = {"cut": "details were too large: run `tokenfuse alerts list`"}
        event["payload"]["source"] = clip(event["payload"]["source"], SUMMARY_CHARS_MAX)
    return event


class _EventsClient(EventsApiV2Client):  # type: ignore[misc] # the library ships no types
    """The official client, without its own retries, and allowed to talk HTTP to this machine.

    It would sleep in its thread and retry a 429 for ever; the courier retries instead, with a bound.
    """

    max_network_attempts = 0
    max_http_attempts = -1  # below zero: even the first refusal is returned, not slept on
    timeout = CALL_SECONDS_MAX

    @property
    def url(self) -> str:
        """Base URL of the API."""
        return str(self._url)

    @url.setter
    def url(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise UrlError("the routing key is a secret: use https://, or http:// to this machine only")
        self._url = base_url


def _client(routing_key: str, base_url: str) -> EventsApiV2Client:
    local = is_loopback(urlsplit(base_url).hostname or "")
    try:
        client = _EventsClient(routing_key, base_url=base_url, trust_env=not local)
    except UrlError as error:
        msg = f"TOKENFUSE_PAGERDUTY_BASE_URL {base_url!r}: {error}"
        raise ValueError(msg) from error
    client.retry = {429: 1}  # with max_http_attempts: returned at once instead of retried for ever
    return client


def _refused(error: HttpError) -> Outcome:
    """PagerDuty asks for retries of 429 and 5xx only (https://developer.pagerduty.com/docs/events-api-v2-overview)."""
    status = error.response.status_code
    detail = f"HTTP {status}: {clip(error.response.text, 300)}"
    if (reason := status_reason(status)) is not None:
        return Retry(after_seconds=retry_after_seconds(error.response.headers), reason=reason, detail=detail)
    if status in {401, 403}:
        advice = "set TOKENFUSE_PAGERDUTY_ROUTING_KEY to the key of an Events API v2 integration"
        return Failed(reason=Reason.AUTH_ERROR, detail=f"{detail}; {advice}")
    advice = "is TOKENFUSE_PAGERDUTY_ROUTING_KEY the 32 characters of an Events API v2 integration?"
    return Failed(reason=Reason.CLIENT_ERROR, detail=f"{detail}; {advice}")
