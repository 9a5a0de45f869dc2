"""Each overlay renders: always the same, with what it should have, of this version."""

import pytest

from app.core.version import VERSION
from tests.k8s.rendering import (
    DEV_WITH_NOTIFY,
    K8S,
    ON_ONE_NODE,
    OVERLAYS,
    RENDERINGS,
    WITH_EMAILS,
    WITH_GPU,
    WITH_NOTIFY,
    WITH_RAY,
    Manifest,
    build,
    labels,
    name_of,
    of_kind,
    ours,
    pod,
    rendered,
    rendered_text,
    workloads,
)

NAMESPACED = {
    "ServiceAccount/headrace-api",
    "ServiceAccount/headrace-migrate",
    "ServiceAccount/headrace-worker",
    "ConfigMap/headrace",
    "Service/headrace-api",
    "Deployment/headrace-api",
    "Deployment/headrace-worker",
    f"Job/headrace-migrate-{VERSION.replace('.', '-')}",
    "PodDisruptionBudget/headrace-api",
    "PodDisruptionBudget/headrace-worker",
    "NetworkPolicy/default-deny",
    "NetworkPolicy/dns",
    "NetworkPolicy/api-ingress",
    "NetworkPolicy/metrics",
    "NetworkPolicy/stores",
    "NetworkPolicy/hints",
}
STORES = {
    "StatefulSet/postgres",
    "Deployment/valkey",
    "Service/postgres",
    "Service/valkey",
    "PersistentVolumeClaim/storage",
    "ConfigMap/database-roles",
    "ConfigMap/database-passwords",
    "NetworkPolicy/postgres",
    "NetworkPolicy/valkey",
    "Secret/headrace",
    "Secret/headrace-owner",
    "Secret/postgres",
    "Secret/valkey-acl",
}
EXTERNAL = {"NetworkPolicy/object-store", "NetworkPolicy/telemetry", "Ingress/headrace-api"}
KEDA = {"ScaledObject/headrace-worker", "TriggerAuthentication/headrace-worker"}
MONITORING = {"PodMonitor/headrace", "PrometheusRule/headrace", "ConfigMap/headrace-grafana"}
API_SCALER = "HorizontalPodAutoscaler/headrace-api"
GPU = {
    "Deployment/headrace-worker-gpu",
    "PodDisruptionBudget/headrace-worker-gpu",
    "ScaledObject/headrace-worker-gpu",
}
RAY = {
    "Deployment/headrace-worker-ray",
    "PodDisruptionBudget/headrace-worker-ray",
    "NetworkPolicy/headrace-worker-ray",
    "headrace-ray/RayCluster/headrace",
    "headrace-ray/NetworkPolicy/default-deny",
    "headrace-ray/NetworkPolicy/dns",
    "headrace-ray/NetworkPolicy/ray-nodes",
    "headrace-ray/NetworkPolicy/ray-clients",
    "headrace-ray/NetworkPolicy/hosts",
    "headrace-ray/NetworkPolicy/autoscaler",
}
NOTIFY = {
    "ServiceAccount/headrace-notify",
    "Deployment/headrace-notify",
    "PodDisruptionBudget/headrace-notify",
    "NetworkPolicy/egress-webhooks",
}
EXPECTED = {
    "dev": NAMESPACED | STORES,
    DEV_WITH_NOTIFY: NAMESPACED | STORES | NOTIFY,
    "production": NAMESPACED | EXTERNAL | MONITORING | KEDA | {API_SCALER},
    "production-hpa": NAMESPACED
    | EXTERNAL
    | MONITORING
    | {API_SCALER, "HorizontalPodAutoscaler/headrace-worker"},
    WITH_RAY: NAMESPACED | EXTERNAL | MONITORING | KEDA | {API_SCALER} | RAY,
    WITH_GPU: NAMESPACED | EXTERNAL | MONITORING | KEDA | {API_SCALER} | GPU,
    WITH_EMAILS: NAMESPACED
    | EXTERNAL
    | MONITORING
    | KEDA
    | {API_SCALER, "NetworkPolicy/egress-notifications"},
    WITH_NOTIFY: NAMESPACED
    | EXTERNAL
    | MONITORING
    | KEDA
    | NOTIFY
    | {API_SCALER, "NetworkPolicy/egress-notifications"},
}


def identity(manifest: Manifest) -> str:
    name = name_of(manifest)
    generated = manifest["kind"] in ("ConfigMap", "Secret")
    found = f"{manifest['kind']}/{name.rpartition('-')[0] if generated else name}"
    namespace = manifest["metadata"].get("namespace", "headrace")
    return found if namespace == "headrace" else f"{namespace}/{found}"


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_it_holds_what_it_should_and_nothing_else(rendering: str) -> None:
    manifests = rendered(rendering)
    namespaces = of_kind(manifests, "Namespace")
    others = [manifest for manifest in manifests if manifest not in namespaces]

    expected = ["headrace", "headrace-ray"] if rendering == WITH_RAY else ["headrace"]
    assert sorted(name_of(namespace) for namespace in namespaces) == expected
    assert {identity(manifest) for manifest in others} == EXPECTED[rendering]
    assert len(others) == len(EXPECTED[rendering])
    assert {manifest["metadata"]["namespace"] for manifest in others} == set(expected)


@pytest.mark.parametrize("overlay", [*OVERLAYS, WITH_RAY])
def test_it_renders_to_the_same_bytes_again(overlay: str) -> None:
    assert build(K8S / "overlays" / overlay) == rendered_text(overlay)


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_the_version_is_that_of_the_code_everywhere(rendering: str) -> None:
    manifests = rendered(rendering)
    for manifest in manifests:
        assert manifest["metadata"]["labels"]["app.kubernetes.io/version"] == VERSION, identity(manifest)
    for workload in ours(manifests):
        template = workload["spec"]["template"]
        assert template["metadata"]["labels"]["app.kubernetes.io/version"] == VERSION
        for container in [*pod(workload).get("initContainers", []), *pod(workload)["containers"]]:
            name, _, tag = container["image"].partition(":")
            assert name.rpartition("/")[2] in ("headrace", "headrace-gpu", "headrace-ray")
            assert tag == VERSION


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_no_image_is_whatever_happens_to_be_the_newest(rendering: str) -> None:
    for workload in workloads(rendered(rendering)):
        for container in pod(workload)["containers"]:
            assert ":" in container["image"]
            assert not container["image"].endswith(":latest")


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_a_pod_may_use_smtp_if_and_only_if_it_serves_emails_or_delivers(rendering: str) -> None:
    for worker in ours(rendered(rendering)):
        [container] = pod(worker)["containers"]
        queues = {variable["name"]: variable.get("value") for variable in container.get("env", [])}
        serves_emails = "emails" in (queues.get("WORKER_QUEUES") or "").split(",")
        sends_emails = serves_emails or name_of(worker) == "headrace-notify"

        assert (labels(worker).get("headrace-emails") == "served") == sends_emails, name_of(worker)
        assert ("SMTP_PASSWORD" in queues) == sends_emails, name_of(worker)
        assert serves_emails == (
            rendering in (WITH_EMAILS, WITH_NOTIFY) and name_of(worker) == "headrace-worker"
        )


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_only_dev_brings_secrets(rendering: str) -> None:
    secrets = of_kind(rendered(rendering), "Secret")

    assert bool(secrets) == (rendering in ON_ONE_NODE)


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_one_owner_decides_how_many_pods_there_are(rendering: str) -> None:
    manifests = rendered(rendering)
    scaled = [
        scaler["spec"]["scaleTargetRef"]["name"]
        for scaler in of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject")
    ]

    assert len(scaled) == len(set(scaled)), "two autoscalers would fight"
    for deployment in of_kind(manifests, "Deployment"):
        assert (name_of(deployment) in scaled) != ("replicas" in deployment["spec"]), name_of(deployment)
