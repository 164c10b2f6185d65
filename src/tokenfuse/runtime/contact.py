"""The first word with the broker: whether it answers and lets us in, and if not, why, in one sentence.

aiokafka tries every address and then only says that none worked; the reason is in its log.

ContactError              the message says what is wrong and what to do
├── UnreachableError      nobody answers: it may heal, so it is tried again
└── CredentialsError      somebody answers and does not let us in: only the operator can heal that
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    BrokerResponseError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from tokenfuse.runtime import kafka
from tokenfuse.runtime.broker import probe_traits

if TYPE_CHECKING:
    from tokenfuse.runtime.broker import BrokerTraits
    from tokenfuse.runtime.settings import Settings

CONNECT_SECONDS_MAX: Final = 5.0
BACKOFF_SECONDS: Final = 0.5
BACKOFF_SECONDS_MAX: Final = 10.0
SAY_AGAIN_SECONDS: Final = 60.0

log = structlog.get_logger(__name__)


class ContactError(RuntimeError):
    """There is no talking to the broker."""


class UnreachableError(ContactError):
    """No address answered as a broker would."""


class CredentialsError(ContactError):
    """The broker answered and refused us, or we do not trust it."""


async def contact(settings: Settings) -> BrokerTraits:
    """One try at every address, in turn.

    Raises:
        UnreachableError, CredentialsError: as above, naming the addresses.
    """
    servers = kafka.bootstrap_servers(settings)
    faults: dict[str, str] = {}
    for host, port, _ in collect_hosts(servers, randomize=False):
        try:
            await _let_in(settings, host, port)
        except UnreachableError as error:
            faults[f"{host}:{port}"] = str(error)
            continue
        try:
            with _quiet():
                return await probe_traits(f"{host}:{port}", **kafka.security(settings))
        except KafkaError as error:
            faults[f"{host}:{port}"] = _closed(settings, error)
    why = set(faults.values())
    each = "; ".join(f"{at}: {fault}" for at, fault in faults.items()) if len(why) > 1 else "".join(why)
    raise UnreachableError(f"no broker at {servers}: {each}")


async def wait_for_contact(settings: Settings, stop: asyncio.Event) -> BrokerTraits | None:
    """`contact`, tried again with growing pauses until it works; None where `stop` was set before.

    Raises:
        CredentialsError: trying again would not help.
    """
    pause_seconds, said, said_at = BACKOFF_SECONDS, "", 0.0
    while not stop.is_set():
        try:
            traits = await contact(settings)
        except UnreachableError as error:
            if str(error) != said or time.monotonic() - said_at > SAY_AGAIN_SECONDS:
                said, said_at = str(error), time.monotonic()
                log.warning("waiting for the broker: it is tried again until it answers", error=said)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_seconds)
            pause_seconds = min(2 * pause_seconds, BACKOFF_SECONDS_MAX)
        else:
            if said:
                log.info("the broker answers", bootstrap_servers=settings.bootstrap_servers)
            return traits
    return None


async def _let_in(settings: Settings, host: str, port: int) -> None:
    """Connect and authenticate."""
    at = f"{host}:{port}"
    try:
        async with _connection(settings, host, port):
            return
    except (SaslAuthenticationFailed, AuthenticationFailedError) as error:
        raise CredentialsError(
            f"{at} refuses the user {settings.sasl_plain_username}: check TOKENFUSE_SASL_PLAIN_USERNAME and "
            f"_PASSWORD, and that the user exists for {settings.sasl_mechanism} ({_words(error)})"
        ) from error
    except UnsupportedSaslMechanismError as error:
        raise CredentialsError(
            f"{at} does not take TOKENFUSE_SASL_MECHANISM={settings.sasl_mechanism}: {_words(error)}"
        ) from error
    except IllegalSaslStateError as error:
        raise CredentialsError(
            f"{at} wants no SASL: TOKENFUSE_SECURITY_PROTOCOL is {settings.security_protocol}"
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise CredentialsError(
            f"the certificate of {at} is not trusted: {error.verify_message}; "
            f"TOKENFUSE_SSL_CAFILE names the authority that signed it"
        ) from error
    except ssl.SSLError as error:
        raise CredentialsError(
            f"{at}: no TLS connection ({error.reason or error}): does the port speak TLS, and does it want "
            f"TOKENFUSE_SSL_CERTFILE and _KEYFILE?"
        ) from error
    except TimeoutError as error:
        raise UnreachableError(f"no answer within {CONNECT_SECONDS_MAX:g} s") from error
    except OSError as error:
        number = error.errno or 0  # a name that is unknown has a negative one
        raise UnreachableError(os.strerror(number) if number > 0 else error.strerror or f"{error}") from error
    except KafkaError as error:
        raise UnreachableError(_closed(settings, error)) from error


@asynccontextmanager
async def _connection(settings: Settings, host: str, port: int) -> AsyncIterator[None]:
    with _quiet():
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            connection = await create_conn(host, port, **kafka.security(settings))
        try:
            yield
        finally:
            connection.close()


def _closed(settings: Settings, error: KafkaError) -> str:
    """Somebody is there, and hangs up: most often a listener of another kind."""
    if isinstance(error, KafkaConnectionError):
        kind = settings.security_protocol
        question = f"it hangs up: does it speak Kafka, and with TOKENFUSE_SECURITY_PROTOCOL={kind}?"
        certificate = kind.endswith("SSL") and settings.ssl_certfile is None
        return f"{question} Does it want TOKENFUSE_SSL_CERTFILE and _KEYFILE?" if certificate else question
    return _words(error)


def _words(error: KafkaError) -> str:
    given = "".join(str(part) for part in error.args if isinstance(part, str))
    described = error.description if isinstance(error, BrokerResponseError) else type(error).__name__
    return (given or described).rstrip(".")


@contextmanager
def _quiet() -> Iterator[None]:
    """What aiokafka logs of these tries is in our one sentence, and a stack trace beside it would hide that."""
    loggers = [logging.getLogger(name) for name in ("aiokafka", "aiokafka.conn", "aiokafka.cluster")]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
