"""docker-compose.yml: no engine is at hand, so its meaning is checked here and its form by the compose schema."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema import Draft7Validator

ROOT = Path(__file__).parents[3]
ROLES = {"ingest", "agents", "decider", "notify"}


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.alerts.yml"])
def test_the_file_follows_the_compose_specification(name: str) -> None:
    document = yaml.safe_load((ROOT / name).read_text())
    schema = get_builtin_schema("vendor.compose-spec")

    assert [error.message for error in Draft7Validator(schema).iter_errors(document)] == []
    assert "version" not in document, "obsolete: compose warns about it"


def test_each_role_is_a_service_that_runs_it(compose: dict) -> None:
    services = compose["services"]

    assert {name for name, service in services.items() if service.get("command", [""])[0] == "run"} == ROLES
    for role in ROLES:
        assert services[role]["command"] == ["run", "--role", role]


def test_a_role_waits_for_the_broker_and_for_the_topics(compose: dict) -> None:
    for role in ROLES:
        assert compose["services"][role]["depends_on"] == {
            "kafka": {"condition": "service_healthy"},
            "topics": {"condition": "service_completed_successfully"},
        }
    assert compose["services"]["kafka"]["healthcheck"]["test"][0] == "CMD"


def test_a_role_asks_its_own_port_for_both_probes(compose: dict) -> None:
    for role in ROLES:
        service = compose["services"][role]
        command = service["healthcheck"]["test"]
        ast.parse(command[-1])
        assert command[:3] == ["CMD", "python", "-c"]
        assert f"127.0.0.1:{service['environment']['TOKENFUSE_PORT']}/" in command[-1]
        assert "livez" in command[-1]
        assert "readyz" in command[-1]


def test_the_roles_connect_to_a_listener_that_the_broker_advertises(compose: dict) -> None:
    kafka = compose["services"]["kafka"]["environment"]
    advertised = dict(entry.split("://") for entry in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    listeners = {entry.split("://")[0] for entry in kafka["KAFKA_LISTENERS"].split(",")}
    protocols = {entry.split(":")[0] for entry in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}

    for role in ROLES:
        assert compose["services"][role]["environment"]["TOKENFUSE_BOOTSTRAP_SERVERS"] in advertised.values()
    assert advertised.keys() < listeners == protocols
    assert "CONTROLLER" not in advertised


def test_one_node_is_never_asked_for_a_second_replica(compose: dict) -> None:
    kafka = compose["services"]["kafka"]["environment"]

    assert {value for name, value in kafka.items() if name.endswith(("REPLICATION_FACTOR", "MIN_ISR"))} == {1}
    assert compose["services"]["topics"]["environment"]["TOKENFUSE_REPLICATION_FACTOR"] == 1


def test_containers_are_locked_down_and_only_this_machine_reaches_kafka(compose: dict) -> None:
    for name, service in compose["services"].items():
        if name == "kafka":
            assert service["ports"] == ["127.0.0.1:9092:9092"]
            continue
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "ports" not in service, name


def test_the_rules_are_mounted_read_only_where_the_decider_looks(compose: dict) -> None:
    decider = compose["services"]["decider"]
    (mount,) = decider["volumes"]

    assert mount["read_only"] is True
    assert mount["target"] == decider["environment"]["TOKENFUSE_RULES_DIR"]
    assert (ROOT / mount["source"]).is_dir()


def test_secrets_come_as_files_that_the_service_is_given() -> None:
    overlay = yaml.safe_load((ROOT / "docker-compose.alerts.yml").read_text())
    notify = overlay["services"]["notify"]
    paths = [value for name, value in notify["environment"].items() if name.endswith("_FILE")]

    assert sorted(paths) == sorted(f"/run/secrets/{secret}" for secret in notify["secrets"])
    assert set(notify["secrets"]) == set(overlay["secrets"])
