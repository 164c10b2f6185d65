"""A real Kafka with listeners that ask for credentials: SASL without and with TLS, and TLS with client certificates."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tests.support.kafka_cluster import KafkaCluster

from tokenfuse.runtime.broker.child import free_port

if TYPE_CHECKING:
    from types import TracebackType

USER: Final = "tokenfuse"
PASSWORD: Final = "not-a-secret-in-tests"

_PLAIN: Final = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule"
_LISTENERS: Final = """\
listeners=BROKER://127.0.0.1:{plaintext},CONTROLLER://127.0.0.1:{controller},OPEN://127.0.0.1:{sasl},\
CLOSED://127.0.0.1:{sasl_ssl},TLS://127.0.0.1:{ssl}
advertised.listeners=BROKER://127.0.0.1:{plaintext},OPEN://127.0.0.1:{sasl},CLOSED://127.0.0.1:{sasl_ssl},\
TLS://127.0.0.1:{ssl}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,OPEN:SASL_PLAINTEXT,CLOSED:SASL_SSL,TLS:SSL
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.open.plain.sasl.jaas.config={plain} required user_{user}="{password}";
listener.name.open.scram-sha-512.sasl.jaas.config={scram} required;
listener.name.closed.plain.sasl.jaas.config={plain} required user_{user}="{password}";
listener.name.closed.scram-sha-512.sasl.jaas.config={scram} required;
ssl.keystore.type=PEM
ssl.keystore.location={directory}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={directory}/ca.pem
listener.name.tls.ssl.client.auth=required
"""


class SecureKafka:
    """One Kafka node; certificates and keys lie in `directory` as PEM.

    Attributes:
        sasl, sasl_ssl, ssl: `host:port` of the listeners with credentials.
        bootstrap_servers: of the one without.
    """

    def __init__(self, directory: Path) -> None:
        """Make certificates and the configuration. Raises as `KafkaCluster`."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        make_certificates(directory)
        self._cluster = KafkaCluster(directory / "kafka")
        ports = {name: free_port() for name in ("sasl", "sasl_ssl", "ssl")}
        self.sasl, self.sasl_ssl, self.ssl = (f"127.0.0.1:{port}" for port in ports.values())
        self.bootstrap_servers = self._cluster.bootstrap_servers
        properties = directory / "kafka" / "kraft.properties"
        lines = properties.read_text()
        controller = lines.partition("CONTROLLER://127.0.0.1:")[2].split()[0]
        plaintext = self.bootstrap_servers.rpartition(":")[2]
        properties.write_text(lines + _LISTENERS.format(
            plaintext=plaintext, controller=controller, directory=directory, plain=_PLAIN, scram=_SCRAM,
            user=USER, password=PASSWORD, **ports,
        ))  # fmt: skip

    def __enter__(self) -> Self:
        """Start it, and give the SCRAM user a password."""
        self._cluster.start()
        arguments = [
            "--bootstrap-server", self.bootstrap_servers, "--alter", "--entity-type", "users", "--entity-name", USER,
            "--add-config", f"SCRAM-SHA-512=[password={PASSWORD}]",
        ]  # fmt: skip
        command = self._cluster._java(main="kafka.admin.ConfigCommand", arguments=arguments)
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self._cluster.stop()


def make_certificates(directory: Path) -> None:
    """An authority, a certificate of 127.0.0.1 for the broker, one for a client, and a stranger's authority."""
    for name in ("ca", "stranger"):
        _openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}",
            "-keyout", f"{directory}/{name}.key", "-out", f"{directory}/{name}.pem",
        )  # fmt: skip
    for name in ("broker", "client"):
        _openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
            "-CA", f"{directory}/ca.pem", "-CAkey", f"{directory}/ca.key",
            "-keyout", f"{directory}/{name}.key", "-out", f"{directory}/{name}.crt",
        )  # fmt: skip
    # Kafka takes the key and the chain in one file.
    (directory / "broker.pem").write_text(
        "".join((directory / name).read_text() for name in ("broker.key", "broker.crt", "ca.pem"))
    )


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
