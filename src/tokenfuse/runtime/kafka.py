"""Kafka clients from settings: Kafka's own security names, mapped to aiokafka and to Faust.

KafkaSettingsError
├── BrokerNotSetError     no broker to talk to
└── CertificateError      a file of the SSL_* settings is no certificate or key
"""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.helpers import create_ssl_context

from tokenfuse.contracts.topics import BLOCK_BYTES_MAX
from tokenfuse.gateway.reader import stop_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tokenfuse.runtime.settings import Settings

SESSION_TIMEOUT_MS: Final = 10_000
HEARTBEAT_INTERVAL_MS: Final = 3_000
CALM_FETCH_WAIT_MS: Final = 1000
"""For consumers that follow a topic and ask nothing else: the broker answers earlier when a record comes. Whatever
else is asked on the connection waits for so long, which is too long for those that look things up."""

FETCHER_WAIT_MS: Final = 2000
"""How often aiokafka's fetcher looks around although nothing that it waits for has happened. Records, seeks, pauses and new
assignments wake it at once; its default of 200 ms was a tenth of what an idle process used."""

Client = TypeVar("Client", AIOKafkaConsumer, AIOKafkaProducer)


class KafkaSettingsError(RuntimeError):
    """No client can be made of these settings; the message says what to change."""


class CertificateError(KafkaSettingsError):
    """A file that the SSL_* settings name cannot be used."""


class BrokerNotSetError(KafkaSettingsError):
    """No broker to talk to: BOOTSTRAP_SERVERS is unset and no embedded broker was found."""


def bootstrap_servers(settings: Settings) -> str:
    """Where the broker is.

    Raises:
        BrokerNotSetError: the setting is missing.
    """
    if settings.bootstrap_servers is None:
        msg = (
            "no broker: set TOKENFUSE_BOOTSTRAP_SERVERS, or start the embedded one with `tokenfuse run` "
            "in this state directory"
        )
        raise BrokerNotSetError(msg)
    return settings.bootstrap_servers


def security(settings: Settings) -> dict[str, Any]:
    """Security arguments that every aiokafka client takes."""
    arguments: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.security_protocol.endswith("SSL"):
        arguments["ssl_context"] = ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        password = settings.sasl_plain_password
        arguments |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_plain_username,
            "sasl_plain_password": password.get_secret_value() if password else None,
        }
    return arguments


def ssl_context(settings: Settings) -> ssl.SSLContext:
    """TLS as the SSL_* settings say: server verification always on, a client certificate where given.

    Raises:
        CertificateError: a file holds something else, or the key does not belong to the certificate.
    """
    files = {
        "cafile": settings.ssl_cafile,
        "certfile": settings.ssl_certfile,
        "keyfile": settings.ssl_keyfile,
    }
    try:
        context: ssl.SSLContext = create_ssl_context(**{k: str(path) for k, path in files.items() if path})
    except (ssl.SSLError, OSError) as error:
        named = ", ".join(f"TOKENFUSE_SSL_{name.upper()}={path}" for name, path in files.items() if path)
        what = getattr(error, "reason", None) or error
        raise CertificateError(f"{named}: no usable certificate or key in PEM ({what})") from error
    return context


def faust_credentials(settings: Settings) -> Any | None:
    """The same security settings as Faust's `broker_credentials`; None for PLAINTEXT."""
    import faust

    context = ssl_context(settings) if settings.security_protocol.endswith("SSL") else None
    if settings.security_protocol.startswith("SASL"):
        password = settings.sasl_plain_password
        return faust.SASLCredentials(
            username=settings.sasl_plain_username,
            password=password.get_secret_value() if password else None,
            ssl_context=context,
            mechanism=settings.sasl_mechanism,
        )
    return faust.SSLCredentials(context) if context else None


@asynccontextmanager
async def started(client: Client) -> AsyncIterator[Client]:
    """A consumer or producer, started for as long as the context lasts. Their own context lets cancellations escape.

    Raises:
        KafkaError: the broker does not answer at the start. What `stop` raises is not heard of.
    """
    try:
        await client.start()
        yield client
    finally:
        await stop_client(client)


def consumer(settings: Settings, *topics: str, **overrides: Any) -> AIOKafkaConsumer:
    """A consumer of full topic names that commits nothing by itself and never skips silently.

    Not started. Overrides are aiokafka's own arguments.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers(settings),
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "max_partition_fetch_bytes": BLOCK_BYTES_MAX,
        "fetch_max_bytes": 4 * BLOCK_BYTES_MAX,
        "fetch_max_wait_ms": 100,
        "consumer_timeout_ms": FETCHER_WAIT_MS,
        "session_timeout_ms": SESSION_TIMEOUT_MS,
        "heartbeat_interval_ms": HEARTBEAT_INTERVAL_MS,
        **security(settings),
    }
    return AIOKafkaConsumer(*topics, **{**arguments, **overrides})


def producer(settings: Settings, **overrides: Any) -> AIOKafkaProducer:
    """An idempotent producer that waits for all replicas. Not started."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers(settings),
        "acks": "all",
        "enable_idempotence": True,
        "max_request_size": BLOCK_BYTES_MAX,
        "max_batch_size": 1024 * 1024,
        "linger_ms": 0,
        **security(settings),
    }
    return AIOKafkaProducer(**{**arguments, **overrides})


def admin(settings: Settings, **overrides: Any) -> AIOKafkaAdminClient:
    """An admin client. Not started."""
    arguments = {"bootstrap_servers": bootstrap_servers(settings), **security(settings)}
    return AIOKafkaAdminClient(**{**arguments, **overrides})
