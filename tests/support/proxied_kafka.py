"""A real Kafka with a second listener that is reached through a proxy only: workers there feel its faults, others do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.kafka_cluster import KafkaCluster
from tests.support.tcp_proxy import TcpProxy

from tokenfuse.runtime.broker.child import free_port

if TYPE_CHECKING:
    from pathlib import Path

_LISTENERS = """\
listeners=BROKER://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},PROXIED://127.0.0.1:{behind}
advertised.listeners=BROKER://127.0.0.1:{plain},PROXIED://127.0.0.1:{proxy}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT
"""


def proxied_kafka(directory: Path) -> tuple[KafkaCluster, TcpProxy]:
    """Neither is started. Raises as `KafkaCluster`."""
    cluster = KafkaCluster(directory)
    properties = directory / "kraft.properties"
    lines = properties.read_text()
    controller = lines.partition("CONTROLLER://127.0.0.1:")[2].split()[0]
    plain = cluster.bootstrap_servers.rpartition(":")[2]
    proxy, behind = free_port(), free_port()
    listeners = _LISTENERS.format(plain=plain, controller=controller, proxy=proxy, behind=behind)
    properties.write_text(lines + listeners)
    return cluster, TcpProxy(proxy, behind)
