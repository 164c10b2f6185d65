"""One question in Kafka's protocol, answered only by a broker that is really up: ApiVersions on a bare socket."""

from __future__ import annotations

import socket
import struct
from typing import Final

_API_VERSIONS: Final = 18
_VERSION: Final = 0
_CORRELATION_ID: Final = 0x70666675  # any number that a stray service would not echo
_CLIENT_ID: Final = b"tokenfuse-ping"

# Request header v1 (the Kafka protocol guide): api key, api version, correlation id, client id.
_REQUEST: Final = struct.pack(
    f">hhih{len(_CLIENT_ID)}s", _API_VERSIONS, _VERSION, _CORRELATION_ID, len(_CLIENT_ID), _CLIENT_ID
)
_RESPONSE_HEAD: Final = struct.Struct(">iih")  # size, correlation id, error code


def answers(bootstrap_servers: str, timeout_seconds: float = 1.0) -> bool:
    """True if a Kafka broker answers at `host:port`. Never raises for what the other side does."""
    host, _, port = bootstrap_servers.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=timeout_seconds) as connection:
            connection.settimeout(timeout_seconds)
            connection.sendall(struct.pack(">i", len(_REQUEST)) + _REQUEST)
            head = connection.recv(_RESPONSE_HEAD.size, socket.MSG_WAITALL)
    except OSError:
        return False
    if len(head) < _RESPONSE_HEAD.size:
        return False
    _, correlation_id, error_code = _RESPONSE_HEAD.unpack(head)
    return bool(correlation_id == _CORRELATION_ID and error_code == 0)
