"""Brokers that ask for credentials: every role and every command gets in by the same settings, or says why not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest
from tests.support.kafka_cluster import KafkaUnavailableError
from tests.support.processes import wait_until
from tests.support.secure_kafka import PASSWORD, USER, SecureKafka

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE_SHOT_SECONDS = 15.0
"""Ten for the broker, and Python's own start on a busy machine."""

EVENT = {
    "id": "e1", "time": "", "tenant": "acme", "feature": "chat", "model": "gpt-4o", "input_tokens": 1, "output_tokens": 1,
}  # fmt: skip
pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    try:
        cluster = SecureKafka(tmp_path_factory.mktemp("secure"))
    except KafkaUnavailableError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must test on a real Kafka, but {error}", pytrace=False)
        pytest.skip(f"needs a real Kafka, but {error}")
    with cluster:
        yield cluster


def settings(kafka: SecureKafka, how: str) -> dict[str, str]:
    """What an operator would set for one of the listeners."""
    sasl = {"SASL_PLAIN_USERNAME": USER, "SASL_PLAIN_PASSWORD": PASSWORD}
    ca = str(kafka.directory / "ca.pem")
    client = {
        "SSL_CERTFILE": str(kafka.directory / "client.crt"),
        "SSL_KEYFILE": str(kafka.directory / "client.key"),
    }
    return {
        "plain": {"BOOTSTRAP_SERVERS": kafka.sasl, "SECURITY_PROTOCOL": "SASL_PLAINTEXT", **sasl},
        "scram over TLS": {
            "BOOTSTRAP_SERVERS": kafka.sasl_ssl, "SECURITY_PROTOCOL": "SASL_SSL", "SSL_CAFILE": ca,
            "SASL_MECHANISM": "SCRAM-SHA-512", **sasl,
        },
        "client certificate": {
            "BOOTSTRAP_SERVERS": kafka.ssl, "SECURITY_PROTOCOL": "SSL", "SSL_CAFILE": ca, **client,
        },
    }[how]  # fmt: skip


def environment(tmp_path: Path, prefix: str, given: dict[str, str]) -> dict[str, str]:
    (tmp_path / "rules").mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKENFUSE_")}
    ours = {
        "TOPIC_PREFIX": prefix, "STATE_DIR": str(tmp_path / "state"), "RULES_DIR": str(tmp_path / "rules"),
        "SOURCE_PARTITIONS": "1", "DELTAS_PARTITIONS": "1", "INSTANCE_ID": prefix, **given,
    }  # fmt: skip
    return kept | {f"TOKENFUSE_{name}": value for name, value in ours.items()}


def tokenfuse(
    tmp_path: Path, env: dict[str, str], *arguments: str, **options
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tokenfuse.cli.main", *arguments]
    return subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False, **options
    )


def answers_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("how", ["plain", "scram over TLS", "client certificate"])
def test_every_role_and_command_gets_in_by_the_same_settings(secure_kafka, topic_prefix, tmp_path, how):
    given = settings(secure_kafka, how)
    env = environment(tmp_path, topic_prefix, given)
    log = tmp_path / "group.log"
    assert tokenfuse(tmp_path, env, "topics", "create").returncode == 0
    with log.open("w") as output:
        command = [sys.executable, "-m", "tokenfuse.cli.main", "run"]
        group = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=output, stderr=output)
    try:
        wait_until(lambda: "group_started" in log.read_text(), "the group has started", 60)
        url = json.loads(log.read_text().splitlines()[0])["health"]
        wait_until(lambda: answers_ready(url), f"all roles are ready, see {log}", 90)
        event = json.dumps(EVENT | {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
        published = tokenfuse(tmp_path, env, "publish", "-", "--output", "json", input=event + "\n")
        checked = tokenfuse(tmp_path, env, "topics", "check")
        switches = tokenfuse(tmp_path, env, "killswitch", "list", "--output", "json")
        doctor = tokenfuse(tmp_path, env, "doctor", "--output", "json")
    finally:
        group.send_signal(signal.SIGTERM)
        group.wait(30)

    assert (published.returncode, json.loads(published.stdout)["sent"]) == (0, 1)
    assert (checked.returncode, switches.returncode) == (0, 0)
    consumers = {
        c["part"]: c["health"] for c in json.loads(doctor.stdout)["checks"] if "consumer" in c["part"]
    }
    assert consumers == {f"consumer {role}": "ok" for role in ("ingest", "agents", "decider", "notify")}
    assert PASSWORD not in log.read_text() + doctor.stdout + doctor.stderr


@pytest.mark.parametrize(
    ("how", "change", "sentence"),
    [
        ("plain", {"SASL_PLAIN_PASSWORD": "wrong-password"}, "refuses the user tokenfuse"),
        ("scram over TLS", {"SASL_PLAIN_PASSWORD": "wrong-password"}, "refuses the user tokenfuse"),
        ("plain", {"SASL_MECHANISM": "SCRAM-SHA-256"}, "does not take TOKENFUSE_SASL_MECHANISM=SCRAM-SHA-256"),
        ("scram over TLS", {"SSL_CAFILE": "stranger.pem"}, "is not trusted"),
        ("client certificate", {"SSL_CERTFILE": "", "SSL_KEYFILE": ""}, "TOKENFUSE_SSL_CERTFILE"),
        ("plain", {"SECURITY_PROTOCOL": "", "SASL_PLAIN_USERNAME": "", "SASL_PLAIN_PASSWORD": ""}, "TOKENFUSE_SECURITY_PROTOCOL"),
        ("scram over TLS", {"SECURITY_PROTOCOL": "", "SSL_CAFILE": "", "SASL_PLAIN_USERNAME": "", "SASL_PLAIN_PASSWORD": ""}, "TOKENFUSE_SECURITY_PROTOCOL"),
    ],
)  # fmt: skip
def test_who_does_not_get_in_is_told_why_at_once(secure_kafka, topic_prefix, tmp_path, how, change, sentence):
    if change.get("SSL_CAFILE"):
        change = change | {"SSL_CAFILE": str(secure_kafka.directory / change["SSL_CAFILE"])}
    env = environment(tmp_path, topic_prefix, settings(secure_kafka, how) | change)
    began = time.monotonic()
    result = tokenfuse(tmp_path, env, "topics", "check", "--output", "json")

    assert result.returncode == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert json.loads(result.stdout)["ok"] is False
    assert time.monotonic() - began < ONE_SHOT_SECONDS
    assert "wrong-password" not in result.stdout + result.stderr


@pytest.mark.parametrize("roles", [(), ("--role", "ingest"), ("--role", "agents"), ("--role", "notify")])
def test_a_service_with_a_wrong_password_ends_instead_of_trying_for_ever(
    secure_kafka, topic_prefix, tmp_path, roles
):
    wrong = settings(secure_kafka, "plain") | {"SASL_PLAIN_PASSWORD": "wrong-password"}
    result = tokenfuse(tmp_path, environment(tmp_path, topic_prefix, wrong), "run", *roles)

    assert result.returncode == 2
    assert "refuses the user tokenfuse" in result.stderr.splitlines()[-1]
    assert "wrong-password" not in result.stdout + result.stderr


def test_the_sample_gateway_takes_the_same_credentials(secure_kafka, topic_prefix, tmp_path):
    env = environment(tmp_path, topic_prefix, settings(secure_kafka, "plain"))
    assert tokenfuse(tmp_path, env, "topics", "create").returncode == 0
    (tmp_path / "password").write_text(PASSWORD + "\n")
    command = [
        sys.executable, "-m", "tokenfuse.gateway.sample", "--bootstrap-servers", secure_kafka.sasl_ssl,
        "--topic-prefix", topic_prefix, "--security-protocol", "SASL_SSL", "--sasl-mechanism", "SCRAM-SHA-512",
        "--sasl-username", USER, "--sasl-password-file", str(tmp_path / "password"),
        "--ssl-cafile", str(secure_kafka.directory / "ca.pem"),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as gateway:
        try:
            assert gateway.stdout is not None
            url = gateway.stdout.readline().split()[-1]
            wait_until(lambda: answers_ready(url), "the gateway has read the switches", 30)
        finally:
            gateway.terminate()
