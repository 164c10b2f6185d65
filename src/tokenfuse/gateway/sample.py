"""A sample gateway: how the two calls of the SDK fit around a model call. For demos and tests, not for traffic.

    python -m tokenfuse.gateway.sample --bootstrap-servers 127.0.0.1:9092

`POST /v1/chat/completions` asks `Gateway.check` first: a refusal is a 402 with the structured reason. Else it answers a
made-up completion and publishes its cost event. `GET /switches`, `/livez` and `/readyz` say how the view stands.
Brokers that ask for credentials: `--help`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka.helpers import create_ssl_context
from msgspec import Struct

from tokenfuse.gateway.client import Gateway
from tokenfuse.gateway.decision import Decision, refusal_body
from tokenfuse.gateway.publisher import InvalidEventError, Publisher

AXIS_HEADERS: Final = {
    "x-tenant": "tenant",
    "x-feature": "feature",
    "x-model": "model",
    "x-prompt-template": "prompt_template",
    "x-user": "user",
    "x-run-id": "run_id",
}
DEFAULTS: Final = {"tenant": "acme", "feature": "chat", "model": "gpt-4o-mini"}
HEAD_BYTES_MAX: Final = 64 * 1024
BODY_BYTES_MAX: Final = 4 * 1024 * 1024
PHRASES: Final = {
    200: "OK",
    400: "Bad Request",
    402: "Payment Required",
    404: "Not Found",
    503: "Service Unavailable",
}
CHARS_PER_TOKEN: Final = 4
ANSWER: Final = "This is a made-up answer."


class Request(Struct, frozen=True):
    """One HTTP request; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Response(Struct, frozen=True):
    """Status, JSON body, further headers."""

    status: int
    body: Any
    headers: Mapping[str, str] = {}


class BadRequestError(Exception):
    """Not a request that this server reads; the message says why."""


class SampleGateway:
    """Routes requests.

    Args:
        gateway, publisher: started by the caller.
    """

    def __init__(self, gateway: Gateway, publisher: Publisher) -> None:
        self._gateway = gateway
        self._publisher = publisher

    def respond(self, request: Request) -> Response:
        """Answer one request."""
        match request.method, request.path:
            case "POST", "/v1/chat/completions":
                return self._complete(request)
            case "GET", "/switches":
                return Response(200, {"switches": self._gateway.switches(), "status": self._gateway.status()})
            case "GET", "/livez":
                return Response(200, {"ok": True})
            case "GET", "/readyz":
                status = self._gateway.status()
                return Response(200 if status.read else 503, status)
            case _:
                return Response(404, _error(f"no such route: {request.method} {request.path}"))

    def _complete(self, request: Request) -> Response:
        axes = _axes(request)
        decision = self._gateway.check(axes)  # before the call: may it go ahead?
        if not decision.allowed:
            return Response(decision.http_status or 402, refusal_body(decision))
        if decision.downgrade_to is not None:
            axes["model"] = decision.downgrade_to
        event = _event(axes, request.body)
        try:
            self._publisher.publish(event)  # after the call: what did it cost?
        except InvalidEventError as error:
            return Response(400, _error(str(error)))
        return Response(200, _completion(event), _headers(decision))


def _axes(request: Request) -> dict[str, str]:
    try:
        document = msgspec.json.decode(request.body or b"{}")
    except msgspec.DecodeError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from error
    said = {axis: request.headers[name] for name, axis in AXIS_HEADERS.items() if request.headers.get(name)}
    if isinstance(document, dict) and isinstance(document.get("model"), str):
        said.setdefault("model", document["model"])
    return {**DEFAULTS, **said}


def _event(axes: Mapping[str, str], body: bytes) -> dict[str, Any]:
    return {
        **axes,
        "id": uuid.uuid4().hex,
        "input_tokens": len(body) // CHARS_PER_TOKEN,
        "output_tokens": len(ANSWER) // CHARS_PER_TOKEN,
    }


def _completion(event: Mapping[str, Any]) -> dict[str, Any]:
    usage = {"prompt_tokens": event["input_tokens"], "completion_tokens": event["output_tokens"]}
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": ANSWER},
    }
    return {
        "id": event["id"],
        "object": "chat.completion",
        "model": event["model"],
        "choices": [choice],
        "usage": usage,
    }


def _headers(decision: Decision) -> dict[str, str]:
    """A warning is told to the caller, and that the view is stale to whoever debugs."""
    said = {"x-tokenfuse-stale": "true"} if decision.stale else {}
    if decision.action is not None:
        said["x-tokenfuse-action"] = decision.action
        said["x-tokenfuse-expires-at"] = decision.expires_at or ""
    if decision.would_block:
        said["x-tokenfuse-would-block"] = "true"
    return said


def _error(text: str) -> dict[str, Any]:
    return {"error": {"message": text, "type": "invalid_request_error", "param": None, "code": None}}


async def serve(host: str, port: int, sample: SampleGateway) -> asyncio.Server:
    """A small HTTP/1.1 server, one request per connection."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            try:
                response = sample.respond(await _read(reader))
            except BadRequestError as error:
                response = Response(400, _error(str(error)))
            writer.write(_written(response))
            await writer.drain()
        writer.close()

    return await asyncio.start_server(connected, host, port, limit=HEAD_BYTES_MAX)


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    parts = head[0].split(" ")
    if len(parts) != 3:
        raise BadRequestError("the first line is no HTTP request line")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
        raise BadRequestError(f"content-length must be a number up to {BODY_BYTES_MAX}")
    return Request(parts[0], parts[1], headers, await reader.readexactly(int(length)))


def _written(response: Response) -> bytes:
    body = msgspec.json.encode(response.body)
    fields = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **response.headers,
    }
    lines = [
        f"HTTP/1.1 {response.status} {PHRASES[response.status]}",
        *(f"{k}: {v}" for k, v in fields.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


async def main(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT. One line on standard output says where, once it listens."""
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    shared: dict[str, Any] = {"topic_prefix": arguments.topic_prefix, "security": security(arguments)}
    async with (
        Gateway(arguments.bootstrap_servers, fail=arguments.fail, **shared) as gateway,
        Publisher(arguments.bootstrap_servers, **shared) as publisher,
        await serve(arguments.host, arguments.port, SampleGateway(gateway, publisher)) as server,
    ):
        host, port = server.sockets[0].getsockname()[:2]
        print(f"sample gateway on http://{host}:{port}", flush=True)  # noqa: T201 - the one line that callers read
        await stop.wait()


def security(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `Gateway` and `Publisher` take as `security`: aiokafka's own arguments.

    Raises:
        OSError: a file cannot be read, or holds no certificate.
    """
    options: dict[str, Any] = {"security_protocol": arguments.security_protocol}
    if arguments.security_protocol.endswith("SSL"):
        options["ssl_context"] = create_ssl_context(
            cafile=arguments.ssl_cafile, certfile=arguments.ssl_certfile, keyfile=arguments.ssl_keyfile
        )
    if arguments.security_protocol.startswith("SASL"):
        # From a file: what stands on a command line is seen by everyone on the machine.
        options |= {
            "sasl_mechanism": arguments.sasl_mechanism,
            "sasl_plain_username": arguments.sasl_username,
            "sasl_plain_password": Path(arguments.sasl_password_file).read_text().rstrip("\r\n"),
        }
    return options


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tokenfuse.gateway.sample", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--bootstrap-servers", required=True, help="Kafka brokers, host:port")
    parser.add_argument("--topic-prefix", default="", help="as TOKENFUSE_TOPIC_PREFIX of the service")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--fail", choices=["open", "closed"], default="open", help="what a stale view means")
    secure = parser.add_argument_group("security", "as the TOKENFUSE_ settings of the service")
    protocols = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    secure.add_argument("--security-protocol", choices=protocols, default="PLAINTEXT")
    secure.add_argument(
        "--sasl-mechanism", choices=["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], default="PLAIN"
    )
    for name in ("sasl-username", "sasl-password-file", "ssl-cafile", "ssl-certfile", "ssl-keyfile"):
        secure.add_argument(f"--{name}")
    parsed = parser.parse_args(arguments)
    if parsed.security_protocol.startswith("SASL") and not (
        parsed.sasl_username and parsed.sasl_password_file
    ):
        parser.error(f"{parsed.security_protocol} needs --sasl-username and --sasl-password-file")
    return parsed


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))
