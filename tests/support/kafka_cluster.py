"""A real Apache Kafka from its own jars: one KRaft node, broker and controller, on ports of its own.

Needs Java 17 and, the first time, Maven. The jars stay in `.cache/kafka-jars` of the project
(another place: TOKENFUSE_TEST_CACHE).
"""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tokenfuse.runtime.broker.child import Child, free_port
from tokenfuse.runtime.broker.ping import answers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

KAFKA_VERSION: Final = "4.3.1"
PROJECT_ROOT: Final = Path(__file__).resolve().parents[2]

_READY_SECONDS: Final = 90.0  # 3 s measured; a laptop that swaps takes its time
_STOP_SECONDS: Final = 30.0  # measured: 0.6 s, and 8 s where it writes the class archive
_MAVEN_SECONDS: Final = 600.0

_POM: Final = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tokenfuse</groupId> <artifactId>kafka-for-tests</artifactId> <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId> <artifactId>kafka_2.13</artifactId> <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>  <!-- Kafka logs through SLF4J and its jars bring no binding: without one it fails in silence. -->
      <groupId>org.apache.logging.log4j</groupId> <artifactId>log4j-slf4j-impl</artifactId> <version>2.25.4</version>
    </dependency>
  </dependencies>
</project>
"""

_LOG4J: Final = """\
Configuration:
  status: WARN
  Appenders:
    Console: {name: STDOUT, PatternLayout: {pattern: "%d %p %m (%c{1})%n"}}
  Loggers:
    Root: {level: WARN, AppenderRef: {ref: STDOUT}}
"""

_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=BROKER://127.0.0.1:{port}
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
# One node cannot hold more replicas than one.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Fewer files to make at the first commit and transaction.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
# After SIGKILL the node may register again only when its old session has run out (default: 9 s).
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=400
# A topic that nobody created is a mistake of the test.
auto.create.topics.enable=false
log.cleaner.backoff.ms=200
"""


class KafkaUnavailableError(RuntimeError):
    """Java or Maven is missing, or Maven could not get the jars: what is missing, in one sentence."""


class KafkaCluster:
    """One Kafka node; `directory` holds its configuration, data and log, and outlives its restarts."""

    def __init__(
        self, directory: Path, *, properties: dict[str, str] | None = None, start_options: Sequence[str] = ()
    ) -> None:
        """Prepare the node: ports, configuration, formatted storage. It is not started yet.

        Args:
            directory: empty or missing.
            properties: broker properties of the caller's own, over ours.
            start_options: of the Java machine that runs the node.

        Raises:
            KafkaUnavailableError: no Java, no Maven, or no jars.
        """
        self._directory = directory
        jars = kafka_jars()
        self._classpath = f"{jars}/*"
        self._archive = class_archive(jars)
        self._start_options = start_options
        self._port, controller_port = free_port(), free_port()
        self._child: Child | None = None
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "log4j2.yaml").write_text(_LOG4J)
        ours = _PROPERTIES.format(port=self._port, controller_port=controller_port, data=directory / "data")
        theirs = "".join(f"{name}={value}\n" for name, value in (properties or {}).items())
        self._properties = directory / "kraft.properties"
        self._properties.write_text(ours + theirs)
        self._format()

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`, the same over all restarts."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Of the Java process."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """True also while it is paused."""
        return self._child is not None and self._child.running

    def start(self) -> Self:
        """Start it and wait until it answers. Raises ChildError with the last lines of its log otherwise."""
        options = ["-Xmx512m", "-Xms128m", *self._start_options]
        command = self._java(*options, main="kafka.Kafka", arguments=[str(self._properties)])
        self._child = Child(command, self._directory / "kafka.log", grace_seconds=_STOP_SECONDS)
        self._child.wait_until(lambda: answers(self.bootstrap_servers), _READY_SECONDS, "Kafka")
        return self

    def stop(self) -> None:
        """Shut it down in good order. May be called again."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, no client is told."""
        os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nobody answers. Returns when that is so: threads stop one by one."""
        os.kill(self.pid, signal.SIGSTOP)
        while answers(self.bootstrap_servers, timeout_seconds=0.2):
            pass

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> Self:
        """Stop in good order, if it runs, and start on the same ports and data."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        self.stop()

    def _format(self) -> None:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # One word: every 64th id begins with a hyphen, and would be taken for an option.
        arguments = ["format", f"--cluster-id={cluster_id}", "-c", str(self._properties)]
        command = self._java(main="kafka.tools.StorageTool", arguments=arguments)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_READY_SECONDS)
        if done.returncode:
            msg = f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}"
            raise RuntimeError(msg)

    def _java(self, *options: str, main: str, arguments: list[str]) -> list[str]:
        log4j = f"-Dlog4j2.configurationFile={self._directory / 'log4j2.yaml'}"
        # C1 only: a test broker lives too short for the optimising compiler to pay.
        quick = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        if self._archive.exists():
            quick.append(f"-XX:SharedArchiveFile={self._archive}")
        return [_tool("java", "Java 17"), *options, *quick, log4j, "-cp", self._classpath, main, *arguments]

    def _running(self) -> Child:
        if self._child is None:
            msg = "this Kafka is not started"
            raise RuntimeError(msg)
        return self._child


def kafka_jars() -> Path:
    """The folder with Kafka's jars, resolved by Maven the first time; test processes take turns.

    Raises:
        KafkaUnavailableError: Maven is missing, or could not get them.
    """
    _tool("java", "Java 17")
    cache = Path(os.environ.get("TOKENFUSE_TEST_CACHE", PROJECT_ROOT / ".cache"))
    jars = cache / "kafka-jars" / KAFKA_VERSION
    jars.parent.mkdir(parents=True, exist_ok=True)
    with (jars.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.is_dir():
            _resolve(jars)
    return jars


def class_archive(jars: Path) -> Path:
    """Where Kafka's classes lie as a Java machine loads them; a start without them costs twice the processor time."""
    return jars.with_name(f"{jars.name}.jsa")


def archive_classes() -> Path:
    """Make the archive, if there is none, from what a node loads between its start and its stop. Raises as `kafka_jars`."""
    archive = class_archive(kafka_jars())
    partial = archive.with_suffix(".partial")
    if not archive.exists():
        with tempfile.TemporaryDirectory() as directory:
            dump = [f"-XX:ArchiveClassesAtExit={partial}"]
            with KafkaCluster(Path(directory) / "kafka", start_options=dump):
                pass
        partial.rename(archive)
    return archive


def _resolve(jars: Path) -> None:
    """Let Maven copy the jars aside first: a folder that exists is whole."""
    maven = _tool("mvn", "Maven")
    partial = jars.with_name(f"{jars.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    (partial / "pom.xml").write_text(_POM)
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
    command = [maven, "--batch-mode", "--quiet", "-f", str(partial / "pom.xml"), *goal]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_MAVEN_SECONDS)
    if done.returncode:
        msg = f"Maven could not get Kafka {KAFKA_VERSION}: {(done.stdout + done.stderr)[-2000:]}"
        raise KafkaUnavailableError(msg)
    partial.rename(jars)


def _tool(name: str, what: str) -> str:
    path = shutil.which(name)
    if path is None:
        msg = f"{what} is not installed (no `{name}` on the PATH)"
        raise KafkaUnavailableError(msg)
    return path


if __name__ == "__main__":
    sys.stdout.write(f"{archive_classes()}\n")
