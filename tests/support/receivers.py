"""Local Slack and PagerDuty that refuse what the real ones refuse, and record what they take.

In a test: `async with SlackServer() as slack: ... slack.base_url, slack.messages`. Across processes:

    python -m tests.support.receivers --port 8901 --file received.jsonl

serves both on one port (Slack under /api/, PagerDuty under /v2/enqueue) and appends one JSON line per accepted call:
`{"receiver": "slack"|"pagerduty", "call": ..., "body": {...}}`; the first line of standard output is the port.
`--fail slack:500,500,hang` scripts the first answers, as `fail()` does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "xoxb-test-token"
CHANNEL = "llm-costs"
CHANNEL_ID = "C0TESTCHAN1"
ROUTING_KEY = "0123456789abcdef0123456789abcdef"

HANG = "hang"
"""Instead of a status: take the request and never answer."""

LOST = "lost"
"""Instead of a status: do what was asked, and break the connection instead of answering."""


class Receiver:
    """An HTTP server whose next answers can be scripted.

    Attributes:
        received: every accepted call, in order: {"receiver", "call", "body"}.
        refused: every call refused for its content, with the error: what a test wants empty.
        on_record: called after a call was accepted and before it is answered, with its name: where a test kills.
    """

    name = "receiver"
    slow_seconds = 0.0
    """Calls that change something are done at once, and answered only so much later."""

    def __init__(self, file: Path | None = None) -> None:
        self.received: list[dict[str, Any]] = []
        self.refused: list[tuple[str, str]] = []
        self.requests = 0
        self.port = 0
        self.on_record: Callable[[str], None] | None = None
        self._script: deque[tuple[int | str, float | None]] = deque()
        self._file = file
        self._runner: web.AppRunner | None = None
        self._released = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    def fail(self, *answers: int | str, retry_after: float | None = None) -> None:
        """Script the next answers to calls that change something: a status, `hang` or `lost`."""
        self._script.extend((answer, retry_after) for answer in answers)

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.add_routes(self.routes())
        self._runner, self.port = await serve(app, port)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._released.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def record(self, call: str, body: dict[str, Any]) -> None:
        entry = {"receiver": self.name, "call": call, "body": body}
        self.received.append(entry)
        if self._file is not None:
            with self._file.open("a") as out:
                out.write(json.dumps(entry, ensure_ascii=False) + "\n")
        if self.on_record is not None:
            self.on_record(call)

    def calls(self, call: str) -> list[dict[str, Any]]:
        """Bodies of the accepted calls of one kind."""
        return [entry["body"] for entry in self.received if entry["call"] == call]

    async def scripted(self, request: web.Request) -> web.Response | None:
        """The scripted failure, if one is next; `lost` is left to `answer`."""
        self.requests += 1
        if not self._script or self._script[0][0] == LOST:
            return None
        answer, retry_after = self._script.popleft()
        if answer == HANG:
            await self._released.wait()
            return web.Response(status=503)
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        body = {"ok": False, "error": "ratelimited"} if answer == 429 else None
        if body is not None:
            return web.json_response(body, status=429, headers=headers)
        return web.Response(status=int(answer), text="<html>upstream trouble</html>", headers=headers)

    async def answer(self, request: web.Request, body: dict[str, Any], status: int = 200) -> web.Response:
        """The answer, or a connection that breaks before it where the script says so."""
        if self.slow_seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._released.wait(), self.slow_seconds)
        if self._script and self._script[0][0] == LOST:
            self._script.popleft()
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(body, status=status)


class SlackServer(Receiver):
    """chat.postMessage, chat.update, conversations.history, conversations.list and auth.test of one workspace.

    Attributes:
        messages: the channel as a person sees it, oldest first.
        history_answers: statuses for the next calls of conversations.history.
        scopes: take `channels:history` or `channels:read` away to see what happens without.
    """

    name = "slack"

    def __init__(self, file: Path | None = None, token: str = TOKEN, channel: str = CHANNEL) -> None:
        super().__init__(file)
        self.token = token
        self.channel = channel
        self.channel_id = CHANNEL_ID
        self.scopes = {"chat:write", "channels:history", "channels:read"}
        self.members = True
        self.history_answers: deque[int] = deque()
        self.messages: list[dict[str, Any]] = []

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/"

    def routes(self) -> list[web.RouteDef]:
        calls = {
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.history": self._history,
            "conversations.list": self._list,
            "auth.test": self._auth,
        }
        routes = [web.route("*", f"/api/{name}", handler) for name, handler in calls.items()]
        return [*routes, web.route("*", "/api/{method}", self._unknown)]

    async def _post(self, request: web.Request) -> web.Response:
        if (failure := await self.scripted(request)) is not None:
            return failure
        body = await _body(request)
        error = (
            self._denied(request, "chat:write")
            or self._channel_error(body, by_name=True)
            or message_error(body)
        )
        if error:
            return self._refuse("chat.postMessage", error)
        ts = self._next_ts()
        self.messages.append({"type": "message", "ts": ts, "bot_id": "B0TEST", **_content(body)})
        self.record("chat.postMessage", {**body, "ts": ts})
        return await self.answer(
            request, {"ok": True, "channel": self.channel_id, "ts": ts, "message": self.messages[-1]}
        )

    async def _update(self, request: web.Request) -> web.Response:
        if (failure := await self.scripted(request)) is not None:
            return failure
        body = await _body(request)
        error = (
            self._denied(request, "chat:write")
            or self._channel_error(body, by_name=False)
            or message_error(body)
        )
        found = [message for message in self.messages if message["ts"] == body.get("ts")]
        if error or not found:
            return self._refuse("chat.update", error or "message_not_found")
        found[0].update(_content(body), edited={"ts": self._next_ts()})
        self.record("chat.update", body)
        return await self.answer(
            request, {"ok": True, "channel": self.channel_id, "ts": body["ts"], "text": body["text"]}
        )

    async def _history(self, request: web.Request) -> web.Response:
        if self.history_answers:
            return web.Response(status=self.history_answers.popleft(), headers={"Retry-After": "11"})
        body = await _body(request)
        error = self._denied(request, "channels:history") or self._channel_error(body, by_name=False)
        if error:
            return web.json_response({"ok": False, "error": error})
        oldest, latest = float(body.get("oldest", 0)), float(body.get("latest", 1e12))
        found = [message for message in reversed(self.messages) if oldest < float(message["ts"]) < latest]
        if body.get("include_all_metadata") not in {"1", "true", True}:
            found = [{key: message[key] for key in message if key != "metadata"} for message in found]
        return web.json_response({"ok": True, **_page("messages", found, body)})

    async def _list(self, request: web.Request) -> web.Response:
        if error := self._denied(request, "channels:read"):
            return web.json_response({"ok": False, "error": error})
        channels = [{"id": f"C0OTHER{n:04}", "name": f"other-{n}"} for n in range(250)]
        channels.append({"id": self.channel_id, "name": self.channel})
        return web.json_response({"ok": True, **_page("channels", channels, await _body(request))})

    async def _auth(self, request: web.Request) -> web.Response:
        error = self._denied(request, "chat:write")
        return web.json_response(
            {"ok": False, "error": error} if error else {"ok": True, "team": "T", "user": "bot"}
        )

    async def _unknown(self, request: web.Request) -> web.Response:
        return self._refuse(request.match_info["method"], "unknown_method")

    def _denied(self, request: web.Request, scope: str) -> str | None:
        authorization = request.headers.get("Authorization")
        if authorization is None:
            return "not_authed"
        if authorization != f"Bearer {self.token}":
            return "invalid_auth"
        return None if scope in self.scopes else "missing_scope"

    def _channel_error(self, body: dict[str, Any], *, by_name: bool) -> str | None:
        names = {self.channel_id} | ({self.channel, f"#{self.channel}"} if by_name else set())
        if body.get("channel") not in names:
            return "channel_not_found"
        return None if self.members else "not_in_channel"

    def _refuse(self, call: str, error: str) -> web.Response:
        self.refused.append((call, error))
        return web.json_response({"ok": False, "error": error})

    def _next_ts(self) -> str:
        last = float(self.messages[-1]["ts"]) if self.messages else 0.0
        return f"{max(time.time(), last + 0.000_001):.6f}"


class PagerDutyServer(Receiver):
    """POST /v2/enqueue of the Events API v2.

    Attributes:
        incidents: state by dedup_key: triggered, acknowledged, resolved.
    """

    name = "pagerduty"

    def __init__(self, file: Path | None = None, routing_key: str = ROUTING_KEY) -> None:
        super().__init__(file)
        self.routing_key = routing_key
        self.incidents: dict[str, str] = {}

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v2/enqueue", self._enqueue)]

    async def _enqueue(self, request: web.Request) -> web.Response:
        if (failure := await self.scripted(request)) is not None:
            return failure
        raw = await request.read()
        event = json.loads(raw)
        if error := self._error(event, len(raw)):
            self.refused.append((str(event.get("event_action")), error))
            body = {"status": "invalid event", "message": "Event object is invalid", "errors": [error]}
            return web.json_response(body, status=400)
        key = event.get("dedup_key") or f"made-here-{self.requests}"
        self._apply(event["event_action"], key)
        self.record(event["event_action"], event)
        body = {"status": "success", "message": "Event processed", "dedup_key": key}
        return await self.answer(request, body, status=202)

    def _apply(self, action: str, key: str) -> None:
        if action == "trigger":
            # A trigger of an open incident adds to its log; of a resolved one, it opens a new one.
            if self.incidents.get(key, "resolved") == "resolved":
                self.incidents[key] = "triggered"
        elif self.incidents.get(key, "resolved") != "resolved":
            self.incidents[key] = {"acknowledge": "acknowledged", "resolve": "resolved"}[action]

    def _error(self, event: dict[str, Any], size: int) -> str | None:
        routing_key = event.get("routing_key")
        if size > 512_000:
            return "Event is too large"
        if not isinstance(routing_key, str) or len(routing_key) != 32:
            return "Length of 'routing_key' is incorrect (should be 32 characters)"
        if routing_key != self.routing_key:
            return "Invalid routing key"
        return event_error(event)


def event_error(event: dict[str, Any]) -> str | None:
    """What the Events API v2 refuses (https://developer.pagerduty.com/docs/send-alert-event)."""
    action, key = event.get("event_action"), event.get("dedup_key")
    if action not in {"trigger", "acknowledge", "resolve"}:
        return "'event_action' is missing or unknown"
    if key is not None and not (isinstance(key, str) and 0 < len(key) <= 255):
        return "'dedup_key' must be a string of at most 255 characters"
    if action != "trigger":
        return None if key else "'dedup_key' is missing"
    payload = event.get("payload")
    if not isinstance(payload, dict):
        return "'payload' is missing"
    for field, length in (("summary", 1024), ("source", None)):
        value = payload.get(field)
        if not isinstance(value, str) or not value or (length and len(value) > length):
            return f"'payload.{field}' is missing or too long"
    if payload.get("severity") not in {"critical", "error", "warning", "info"}:
        return "'payload.severity' is invalid"
    return _optional_error(payload, event.get("links", []))


def _optional_error(payload: dict[str, Any], links: list[dict[str, Any]]) -> str | None:
    if "timestamp" in payload and not re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", str(payload["timestamp"])):
        return "'payload.timestamp' is no ISO 8601"
    if not isinstance(payload.get("custom_details", {}), dict):
        return "'payload.custom_details' must be an object"
    return (
        None if all(str(link.get("href", "")).startswith("http") for link in links) else "'links' are invalid"
    )


def message_error(body: dict[str, Any]) -> str | None:
    """What chat.postMessage and chat.update refuse (https://docs.slack.dev/reference/methods/chat.postMessage)."""
    text, blocks = body.get("text"), _json(body.get("blocks")) or []
    if not text:
        # Slack takes blocks without text, and warns: a notification would then say nothing, so we refuse.
        return "no_text"
    if len(text) > 40_000:
        return "msg_too_long"
    if not isinstance(blocks, list) or len(blocks) > 50 or any(map(_block_error, blocks)):
        return "invalid_blocks"
    if len(json.dumps(blocks, ensure_ascii=False)) > 13_200:
        return "msg_blocks_too_long"
    return _metadata_error(_json(body.get("metadata")))


def _metadata_error(metadata: Any) -> str | None:
    if metadata is None:
        return None
    if not isinstance(metadata, dict) or set(metadata) - {"event_type", "event_payload"}:
        return "invalid_metadata_format"
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,255}", str(metadata.get("event_type", ""))):
        return "invalid_metadata_schema"
    return None if isinstance(metadata.get("event_payload"), dict) else "invalid_metadata_schema"


def _block_error(block: Any) -> str | None:
    """Why one block is invalid; only the kinds that an alert uses are known."""
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "header":
        return _text_error(block.get("text"), 150, {"plain_text"})
    if kind == "divider":
        return None
    if kind == "context":
        elements = block.get("elements") or []
        if not 1 <= len(elements) <= 10:
            return "context needs 1 to 10 elements"
        return next(
            (error for e in elements if (error := _text_error(e, 3000, {"mrkdwn", "plain_text"}))), None
        )
    if kind != "section":
        return f"unknown block {kind!r}"
    fields, text = block.get("fields"), block.get("text")
    if text is None and not fields:
        return "section needs text or fields"
    if fields is not None and not 1 <= len(fields) <= 10:
        return "section takes 1 to 10 fields"
    checks = [(field, 2000) for field in fields or ()] + ([] if text is None else [(text, 3000)])
    return next(
        (error for t, size in checks if (error := _text_error(t, size, {"mrkdwn", "plain_text"}))), None
    )


def _text_error(text: Any, length: int, kinds: set[str]) -> str | None:
    if not isinstance(text, dict) or text.get("type") not in kinds:
        return "text object of the wrong type"
    if set(text) - {"type", "text", "emoji" if text["type"] == "plain_text" else "verbatim"}:
        return "unknown key in text object"
    value = text.get("text")
    fits = isinstance(value, str) and 1 <= len(value.encode("utf-16-le")) // 2 <= length
    return None if fits else f"text must have 1 to {length} characters"


async def _body(request: web.Request) -> dict[str, Any]:
    """Arguments of a call, wherever the client put them."""
    if request.content_type == "application/json":
        return dict(await request.json())
    return {**request.query, **await request.post()}


def _content(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "text": body["text"],
        "blocks": _json(body.get("blocks")) or [],
        "metadata": _json(body.get("metadata")) or {},
    }


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _page(key: str, items: list[Any], body: dict[str, Any]) -> dict[str, Any]:
    start = int(body.get("cursor") or 0)
    limit = min(int(body.get("limit") or 100), 100)  # Slack may return fewer than asked for
    end = start + limit
    cursor = str(end) if end < len(items) else ""
    return {key: items[start:end], "has_more": bool(cursor), "response_metadata": {"next_cursor": cursor}}


async def serve(app: web.Application, port: int) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    assert site._server is not None
    return runner, site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--file", type=Path, required=True, help="JSON lines of what was accepted")
    parser.add_argument("--fail", action="append", default=[], metavar="RECEIVER:ANSWER,...")
    options = parser.parse_args()
    receivers: dict[str, Receiver] = {
        "slack": SlackServer(options.file),
        "pagerduty": PagerDutyServer(options.file),
    }
    for script in options.fail:
        name, _, answers = script.partition(":")
        receivers[name].fail(*(int(answer) if answer.isdigit() else answer for answer in answers.split(",")))
    app = web.Application()
    for receiver in receivers.values():
        app.add_routes(receiver.routes())
    _, port = await serve(app, options.port)
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
