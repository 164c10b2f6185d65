"""Brokers for all tests: real ones, started once per run. A test keeps to topics with its own prefix."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Protocol

import pytest
from tests.support.kafka_cluster import KafkaCluster, KafkaUnavailableError
from tests.support.order import slow_first

from tokenfuse.runtime.broker import EmbeddedBroker

if TYPE_CHECKING:
    from collections.abc import Iterator


class Broker(Protocol):
    """What a test may know of its broker."""

    @property
    def bootstrap_servers(self) -> str: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the real Kafka can be left out by `-m "not kafka"`; several workers begin with the slow tests."""
    for item in items:
        if "kafka_broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = slow_first(items, lambda item: item.get_closest_marker("slow") is not None, workers)


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """The embedded broker, shared by the whole run."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """A real Apache Kafka, shared by the whole run: a test that stops or kills one starts its own."""
    try:
        cluster = KafkaCluster(tmp_path_factory.mktemp("kafka"))
    except KafkaUnavailableError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must test on a real Kafka, but {error}", pytrace=False)
        pytest.skip(f"needs a real Kafka, but {error}")
    with cluster:
        yield cluster


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Both brokers in turn, for what must work on either."""
    started: Broker = request.getfixturevalue(f"{request.param}_broker")
    return started


@pytest.fixture
def topic_prefix() -> str:
    """Unique to the test, ends in a dot: `f"{topic_prefix}llm.cost.events"`."""
    return f"t{uuid.uuid4().hex[:10]}."
