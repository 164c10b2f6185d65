"""Fixtures of the chaos runs: each has a Kafka of its own, since it stops and kills it."""

from __future__ import annotations

import os

import pytest
from tests.support.kafka_cluster import KafkaUnavailableError, kafka_jars


@pytest.fixture(scope="session")
def kafka_installed() -> None:
    """Java and the jars are there."""
    try:
        kafka_jars()
    except KafkaUnavailableError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must test on a real Kafka, but {error}", pytrace=False)
        pytest.skip(f"needs a real Kafka, but {error}")
