"""Three real Kafka nodes: the first is the controller and a broker, the others are brokers that may be killed."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import uuid
from typing import TYPE_CHECKING, Self

from tests.support.kafka_cluster import _LOG4J, kafka_jars

from tokenfuse.runtime.broker.child import Child, free_port
from tokenfuse.runtime.broker.ping import answers

if TYPE_CHECKING:
    from pathlib import Path

READY_SECONDS = 120.0
STOP_SECONDS = 15.0

_PROPERTIES = """\
process.roles={roles}
node.id={node}
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={listeners}
advertised.listeners=BROKER://127.0.0.1:{port}
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=3
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=3
min.insync.replicas=2
default.replication.factor=3
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=400
replica.lag.time.max.ms=5000
auto.create.topics.enable=false
"""


class ThreeBrokers:
    """Nodes 1 to 3 below one directory, with min.insync.replicas=2."""

    def __init__(self, directory: Path) -> None:
        """Configure and format them; none is started. Raises as `KafkaCluster`."""
        self._directory = directory
        self._classpath = f"{kafka_jars()}/*"
        self._controller = free_port()
        self._ports = {node: free_port() for node in (1, 2, 3)}
        self._children: dict[int, Child] = {}
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        for node in self._ports:
            self._configure(node, cluster_id)

    @property
    def bootstrap_servers(self) -> str:
        """All three, with commas between."""
        return ",".join(f"127.0.0.1:{port}" for port in self._ports.values())

    def start(self, node: int) -> None:
        """Start a node and wait until it answers."""
        options = ["-Xmx384m", "-Xms96m"]
        command = self._java(*options, "kafka.Kafka", str(self._home(node) / "kraft.properties"))
        child = self._children[node] = Child(
            command, self._home(node) / "kafka.log", grace_seconds=STOP_SECONDS
        )
        child.wait_until(
            lambda: answers(f"127.0.0.1:{self._ports[node]}"), READY_SECONDS, f"Kafka node {node}"
        )

    def kill(self, node: int) -> None:
        """SIGKILL."""
        os.kill(self._children[node].pid, signal.SIGKILL)
        self._children.pop(node).stop()

    def __enter__(self) -> Self:
        for node in self._ports:
            self.start(node)
        return self

    def __exit__(self, *_: object) -> None:
        for node in sorted(self._children, reverse=True):
            self._children.pop(node).stop()

    def _home(self, node: int) -> Path:
        return self._directory / f"node-{node}"

    def _configure(self, node: int, cluster_id: str) -> None:
        home, port = self._home(node), self._ports[node]
        home.mkdir(parents=True)
        (home / "log4j2.yaml").write_text(_LOG4J)
        listeners = f"BROKER://127.0.0.1:{port}"
        if node == 1:
            listeners += f",CONTROLLER://127.0.0.1:{self._controller}"
        properties = home / "kraft.properties"
        text = _PROPERTIES.format(
            roles="broker,controller" if node == 1 else "broker",
            node=node,
            controller=self._controller,
            listeners=listeners,
            port=port,
            data=home / "data",
        )
        properties.write_text(text)
        command = self._java(
            "kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(properties)
        )
        subprocess.run(command, capture_output=True, check=True, timeout=READY_SECONDS)

    def _java(self, *arguments: str) -> list[str]:
        log4j = f"-Dlog4j2.configurationFile={self._directory / 'node-1' / 'log4j2.yaml'}"
        quick = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        return ["java", *quick, log4j, "-cp", self._classpath, *arguments]
