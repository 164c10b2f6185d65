"""The chart, rendered by the real helm and held against the strict schemas of Kubernetes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "helm/tokenfuse"
VALUES = sorted(CHART.glob("ci/*-values.yaml"))
KUBERNETES = "1.34.0"
ROLES = {"ingest", "agents", "decider", "notify"}
PODS = {"StatefulSet", "Deployment", "Job"}


@pytest.fixture(scope="module")
def helm() -> str:
    built = sorted((ROOT / ".cache/bin").glob("helm-v*"))
    path = str(built[-1]) if built else shutil.which("helm")
    if path is None:
        reason = "no helm: `make helm-lint` builds it (needs Go 1.26)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return path


def run(helm: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        helm,
        "template",
        "release",
        str(CHART),
        "--namespace",
        "ns",
        "--kube-version",
        KUBERNETES,
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def render(helm: str, *arguments: str) -> list[dict]:
    done = run(helm, *arguments)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def production(helm: str, *arguments: str) -> list[dict]:
    return render(helm, "--values", str(CHART / "ci/production-values.yaml"), *arguments)


def of_kind(documents: list[dict], *kinds: str) -> list[dict]:
    return [document for document in documents if document["kind"] in kinds]


def component(document: dict) -> str:
    return document["metadata"]["labels"]["app.kubernetes.io/component"]


def pod_spec(document: dict) -> dict:
    return document["spec"]["template"]["spec"] if document["kind"] in PODS else document["spec"]


def pods(documents: list[dict]) -> list[dict]:
    return [pod_spec(document) for document in of_kind(documents, *PODS, "Pod")]


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_every_manifest_follows_the_strict_schema_of_kubernetes(helm: str, values: Path) -> None:
    for document in render(helm, "--values", str(values)):
        if document["kind"] not in {
            "ServiceMonitor",
            "PrometheusRule",
        }:  # custom resources: not in the schemas of Kubernetes
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_each_role_runs_once_in_the_kind_that_its_state_asks_for(helm: str) -> None:
    kinds = {component(d): d["kind"] for d in of_kind(production(helm), "StatefulSet", "Deployment")}

    assert kinds == {
        "ingest": "StatefulSet",
        "agents": "StatefulSet",
        "decider": "Deployment",
        "notify": "Deployment",
    }


def test_the_sole_writer_is_never_two(helm: str) -> None:
    for document in of_kind(production(helm), "Deployment"):
        assert document["spec"]["replicas"] == 1
        assert document["spec"]["strategy"] == {"type": "Recreate"}


def test_every_container_is_locked_down(helm: str) -> None:
    for pod in pods(production(helm)):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


def test_what_a_container_mounts_is_a_volume_of_its_pod_and_what_it_writes_to_is_mounted(helm: str) -> None:
    for pod in pods(production(helm)):
        (container,) = pod["containers"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        environment = {entry["name"]: entry.get("value", "") for entry in container["env"]}

        assert set(mounted) == {volume["name"] for volume in pod["volumes"]}
        assert mounted["state"] == environment["TOKENFUSE_STATE_DIR"]
        for value in environment.values():
            if value.startswith("/run/secrets/"):
                assert value.rpartition("/")[0] in mounted.values()


def test_static_membership_is_the_name_of_the_pod(helm: str) -> None:
    for document in of_kind(production(helm), "StatefulSet", "Deployment"):
        (container,) = pod_spec(document)["containers"]
        (instance,) = [entry for entry in container["env"] if entry["name"] == "TOKENFUSE_INSTANCE_ID"]
        assert instance["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_no_variable_is_given_twice(helm: str) -> None:
    for pod in pods(production(helm)):
        names = [entry["name"] for entry in pod["containers"][0]["env"]]
        assert len(names) == len(set(names))


def test_the_probes_ask_the_port_that_the_process_listens_on(helm: str) -> None:
    for document in of_kind(production(helm, "--set", "port=9000"), "StatefulSet", "Deployment"):
        (container,) = pod_spec(document)["containers"]
        environment = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert environment["TOKENFUSE_PORT"] == "9000"
        assert container["ports"] == [{"name": "http", "containerPort": 9000}]
        assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}


def test_selectors_find_the_pods_of_their_own_role_only(helm: str) -> None:
    documents = production(helm)
    labels = {
        component(d): d["spec"]["template"]["metadata"]["labels"]
        for d in of_kind(documents, "StatefulSet", "Deployment")
    }
    assert set(labels) == ROLES
    for document in of_kind(documents, "StatefulSet", "Deployment", "PodDisruptionBudget"):
        selector = document["spec"]["selector"]["matchLabels"].items()
        assert {role for role, of_role in labels.items() if selector <= of_role.items()} == {
            component(document)
        }


def test_a_change_of_the_rules_restarts_the_decider_and_nothing_else(helm: str) -> None:
    def templates(rules: str) -> dict[str, dict]:
        documents = production(helm, "--set", f"rules.caps\\.yaml={rules}")
        return {component(d): d["spec"]["template"] for d in of_kind(documents, "StatefulSet", "Deployment")}

    before, after = templates("one"), templates("two")
    assert {role for role in ROLES if before[role] != after[role]} == {"decider"}


def test_no_secret_appears_as_a_value_and_only_notify_has_the_tokens(helm: str) -> None:
    for document in of_kind(production(helm), *PODS, "Pod"):
        secrets = {
            volume["secret"]["secretName"] for volume in pod_spec(document)["volumes"] if "secret" in volume
        }
        expected = (
            {"tokenfuse-kafka", "tokenfuse-notify"}
            if component(document) == "notify"
            else {"tokenfuse-kafka"}
        )
        assert secrets == expected
        for entry in pod_spec(document)["containers"][0]["env"]:
            assert not entry["name"].endswith(("_PASSWORD", "_TOKEN", "_KEY", "_USERNAME")), entry


def test_the_topics_are_made_before_anything_that_the_job_could_miss(helm: str) -> None:
    (job,) = of_kind(production(helm), "Job")

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert pod_spec(job)["containers"][0]["args"] == ["topics", "create"]
    assert "serviceAccountName" not in pod_spec(job), "it does not exist yet"


def test_one_pod_alone_has_no_disruption_budget_since_it_would_block_every_drain(helm: str) -> None:
    documents = production(helm, "--set", "ingest.replicas=1")

    assert {component(document) for document in of_kind(documents, "PodDisruptionBudget")} == {"agents"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "kafka.bootstrapServers is required"),
        (["--set", "kafka.bootstrapServers=kafka"], "/kafka/bootstrapServers"),
        (["--set", "kafka.bootstrapServers=k:1,kafka.securityProtocol=SASL_SSL"], "/kafka/existingSecret"),
        (["--set", "kafka.bootstrapServers=k:1,ingets.replicas=2"], "'ingets' not allowed"),
        (["--set", "kafka.bootstrapServers=k:1,settings.TOKENFUSE_PORT=1"], "TOKENFUSE_PORT"),
        (
            ["--set", "kafka.bootstrapServers=k:1,notify.existingSecret=s,notify.secretKeys.slackBotToken=t"],
            "notify.slackChannel is required",
        ),
    ],
)
def test_a_mistake_in_the_values_is_named(helm: str, arguments: list[str], message: str) -> None:
    done = run(helm, *arguments)

    assert done.returncode != 0
    assert message in done.stderr
