"""Slack: one message per incident, posted once and then edited as the incident changes.

Before it posts an incident that this process has no message of, it looks for its own message in the channel by
metadata: an earlier try may have arrived although its answer did not, or the process died before it could commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tokenfuse.contracts.clock import from_rfc3339
from tokenfuse.notify.contract import Delivered, Failed, Reason, Retry
from tokenfuse.notify.http import RETRY_LATER_SECONDS, is_loopback, retry_after_seconds, status_reason
from tokenfuse.notify.slack_message import EVENT_TYPE, slack_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from slack_sdk.web.async_slack_response import AsyncSlackResponse

    from tokenfuse.contracts.alert import Alert
    from tokenfuse.notify.contract import DeliveryRecord, Outcome

CALL_SECONDS_MAX: Final = 10
UPDATE_SECONDS_MIN: Final = 30.0
"""Figures of a firing incident change at most this often: a message that flickers is not read."""

HISTORY_PAGES_MAX: Final = 5
HISTORY_LIMIT: Final = (
    200  # https://docs.slack.dev/reference/methods/conversations.history/ recommends no more
)
HISTORY_SECONDS_MAX: Final = 7 * 86_400
HISTORY_NEAR_SECONDS: Final = 7200
"""Slack pages from the newest message on, and ours is as old as its incident: so first it looks where it should be."""
HISTORY_MARGIN_SECONDS: Final = 900
"""Event time of the breach and Slack's clock at the post differ: event clocks, lateness, detection."""
CHANNEL_PAGES_MAX: Final = 10
CHANNEL_LIMIT: Final = 500  # under 1000: https://docs.slack.dev/reference/methods/conversations.list/

# What an operator does about Slack's refusals (https://docs.slack.dev/reference/methods/chat.postMessage/#errors).
_INSTALL = "set TOKENFUSE_SLACK_BOT_TOKEN to the bot token (xoxb-...) of an installed app"
_AUTH_ADVICE: Final = {
    "invalid_auth": _INSTALL,
    "not_authed": _INSTALL,
    "account_inactive": _INSTALL,
    "token_revoked": _INSTALL,
    "token_expired": _INSTALL,
    "missing_scope": "give the app the bot scopes chat:write and channels:history (groups:history), reinstall it",
    "no_permission": "give the app the bot scopes chat:write and channels:history (groups:history), reinstall it",
    "org_login_required": "the workspace is being moved to an organisation: wait, or ask its admin",
    "ekm_access_denied": "the workspace's key management refuses: ask its admin",
    "team_access_not_granted": "install the app in this workspace",
}
_CHANNEL_ADVICE: Final = {
    "channel_not_found": "set TOKENFUSE_SLACK_CHANNEL to the channel's id (C...) and invite the app to it",
    "not_in_channel": "invite the app to the channel: /invite @<app> there",
    "is_archived": "the channel is archived: set TOKENFUSE_SLACK_CHANNEL to a living one",
    "restricted_action": "the workspace does not let apps post in this channel: ask its admin",
}
_GONE: Final = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
"""The message can no longer be edited: post a new one."""

log = structlog.get_logger(__name__)


class SlackNotifier:
    """One channel.

    Args:
        token: bot token. channel: id (`C...`), or name with or without `#`.
        now_seconds: wall clock, for how far back the history is read.
    """

    name = "slack"
    severities = frozenset({"page", "ticket", "info"})
    update_seconds_min: float | None = UPDATE_SECONDS_MIN

    def __init__(self, token: str, channel: str, base_url: str, now_seconds: Callable[[], float]) -> None:
        self._client = _client(token, base_url)
        self._channel = channel.strip()
        self._channel_id: str | None = self._channel if _is_channel_id(self._channel) else None
        self._now = now_seconds
        self._listed = False
        self._warned: set[str] = set()

    async def send(self, incident: Alert, earlier: DeliveryRecord | None) -> Outcome:
        """Post the incident's message, or edit the one that is there."""
        try:
            reference = earlier.reference if earlier else None
            return Delivered(reference=await self._deliver(incident, reference))
        except SlackApiError as error:
            return _refused(error)
        except TimeoutError:
            return Retry(
                after_seconds=None, reason=Reason.TIMEOUT, detail=f"no answer in {CALL_SECONDS_MAX} s"
            )
        except (aiohttp.ClientError, OSError) as error:
            return Retry(
                after_seconds=None, reason=Reason.NETWORK_ERROR, detail=f"{type(error).__name__}: {error}"
            )

    async def close(self) -> None:
        """Nothing stays open: the client makes a connection per call."""

    async def _deliver(self, incident: Alert, reference: str | None) -> str:
        message = slack_message(incident)
        found = reference or await self._find(incident)
        if found is not None:
            try:
                return await self._update(found, message)
            except SlackApiError as error:
                if _error(error) not in _GONE:
                    raise
        return await self._post(message)

    async def _post(self, message: dict[str, Any]) -> str:
        channel = self._channel_id or self._channel
        answer = await self._client.chat_postMessage(
            channel=channel, unfurl_links=False, unfurl_media=False, **message
        )
        self._channel_id = str(answer["channel"])  # history and update take no names
        return f"{answer['channel']}/{answer['ts']}"

    async def _update(self, reference: str, message: dict[str, Any]) -> str:
        channel, _, ts = reference.partition("/")
        await self._client.chat_update(channel=channel, ts=ts, **message)
        return reference

    async def _find(self, incident: Alert) -> str | None:
        """The own message of this incident in the channel, newest first; None: there is none, or no leave to look."""
        try:
            channel = await self._find_channel()
            async for message in self._history(channel, incident):
                if _is_of(message, incident):
                    return f"{channel}/{message['ts']}"
        except SlackApiError as error:
            if status_reason(_status(error)) is not None or _error(error) == "ratelimited":
                raise
            self._warn_once(_error(error))
        return None

    async def _history(self, channel: str, incident: Alert) -> AsyncIterator[dict[str, Any]]:
        for oldest, latest in _windows(from_rfc3339(incident.starts_at) / 1000, self._now()):
            cursor = None
            for _ in range(HISTORY_PAGES_MAX):
                answer = await self._client.conversations_history(
                    channel=channel,
                    include_all_metadata=True,
                    limit=HISTORY_LIMIT,
                    cursor=cursor,
                    oldest=f"{oldest:.6f}",
                    latest=f"{latest:.6f}",
                )
                for message in answer.get("messages") or ():
                    yield message
                if (cursor := _next_cursor(answer)) is None:
                    break

    async def _find_channel(self) -> str:
        """The channel's id; its name where Slack does not tell: then the first post does."""
        if self._channel_id is None and not self._listed:
            self._channel_id = await self._channel_by_name(self._channel.removeprefix("#"))
            self._listed = True  # once is enough: it takes pages, and few calls a minute are allowed
        return self._channel_id or self._channel

    async def _channel_by_name(self, name: str) -> str | None:
        cursor = None
        for _ in range(CHANNEL_PAGES_MAX):
            try:
                answer = await self._client.conversations_list(
                    types="public_channel,private_channel",
                    exclude_archived=True,
                    limit=CHANNEL_LIMIT,
                    cursor=cursor,
                )
            except SlackApiError as error:
                if status_reason(_status(error)) is Reason.SERVER_ERROR:
                    raise
                return None  # not allowed, or not so often: an alert does not wait for it
            for channel in answer.get("channels") or ():
                if channel.get("name") == name:
                    return str(channel["id"])
            if (cursor := _next_cursor(answer)) is None:
                break
        return None

    def _warn_once(self, error: str) -> None:
        """An alert told twice is better than one not told."""
        if error in self._warned:
            return
        self._warned.add(error)
        log.warning(
            "slack_history_unreadable",
            error=error,
            advice="after a crash an alert may be posted twice: set TOKENFUSE_SLACK_CHANNEL to the channel's id and "
            "give the app the bot scope channels:history (groups:history for a private channel)",
        )


def _client(token: str, base_url: str) -> AsyncWebClient:
    # No retry handlers: the courier retries, and bounds it.
    client = AsyncWebClient(token=token, base_url=base_url, timeout=CALL_SECONDS_MAX, retry_handlers=[])
    host = urlsplit(base_url).hostname or ""
    if is_loopback(host) or proxy_bypass(
        host
    ):  # the client takes the proxy of the environment, but not no_proxy
        client.proxy = None
    return client


def _windows(started: float, now: float) -> list[tuple[float, float]]:
    """Where to look, in seconds: around the beginning of the incident, then, where that is long ago, up to now."""
    oldest = min(started, now) - HISTORY_MARGIN_SECONDS
    near, end = started + HISTORY_NEAR_SECONDS, now + HISTORY_MARGIN_SECONDS
    return [(oldest, min(near, end))] + ([(max(near, now - HISTORY_SECONDS_MAX), end)] if near < end else [])


def _is_channel_id(channel: str) -> bool:
    """Ids are upper case and names lower case (https://docs.slack.dev/reference/objects/conversation-object/)."""
    return channel[:1] in {"C", "G", "D"} and channel.isalnum() and channel.isupper() and len(channel) > 7


def _is_of(message: dict[str, Any], incident: Alert) -> bool:
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    return (
        metadata.get("event_type") == EVENT_TYPE
        and payload.get("fingerprint") == incident.fingerprint
        and payload.get("starts_at") == incident.starts_at
    )


def _next_cursor(answer: AsyncSlackResponse) -> str | None:
    metadata: dict[str, Any] = answer.get("response_metadata") or {}
    return metadata.get("next_cursor") or None


def _refused(error: SlackApiError) -> Outcome:
    """What Slack's refusal means: an operator can heal a token or a channel, so those are tried again."""
    code = _error(error)
    if code == "ratelimited" or _status(error) == 429:
        return Retry(
            after_seconds=retry_after_seconds(_headers(error)), reason=Reason.RATE_LIMITED, detail=code
        )
    if (advice := _AUTH_ADVICE.get(code)) is not None:
        return Retry(after_seconds=RETRY_LATER_SECONDS, reason=Reason.AUTH_ERROR, detail=f"{code}: {advice}")
    if (advice := _CHANNEL_ADVICE.get(code)) is not None:
        return Retry(
            after_seconds=RETRY_LATER_SECONDS, reason=Reason.CHANNEL_ERROR, detail=f"{code}: {advice}"
        )
    if (reason := status_reason(_status(error))) is not None or code in {"internal_error", "fatal_error"}:
        after = retry_after_seconds(_headers(error))
        return Retry(
            after_seconds=after, reason=reason or Reason.SERVER_ERROR, detail=f"HTTP {_status(error)} {code}"
        )
    return Failed(
        reason=Reason.CLIENT_ERROR, detail=f"Slack refuses the message: {code} (HTTP {_status(error)})"
    )


def _error(error: SlackApiError) -> str:
    """Slack's code; answers that are not JSON have none."""
    data = getattr(error.response, "data", None)
    return str(data.get("error", "unknown")) if isinstance(data, dict) else "unreadable answer"


def _status(error: SlackApiError) -> int:
    response = error.response
    return int(getattr(response, "status_code", getattr(response, "status", 0)))


def _headers(error: SlackApiError) -> dict[str, str]:
    return {key.lower(): value for key, value in (getattr(error.response, "headers", None) or {}).items()}
