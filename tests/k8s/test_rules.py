"""The rules between the numbers in the manifests, the settings and the code."""

import re
from typing import Any

import pytest

from app.core.config import DEVELOPMENT_SECRET, Settings
from app.core.quiet_server import STOP_SECONDS
from app.jobs import lane
from app.jobs.requests import GPU_QUEUE
from app.notifications.deliverer import DRAIN_SECONDS
from tests.k8s.rendering import (
    DELIVERING,
    K8S,
    ON_ONE_NODE,
    RENDERINGS,
    WITH_GPU,
    Manifest,
    containers,
    environment,
    labels,
    main_container,
    name_of,
    named,
    number_of_bytes,
    of_kind,
    ours,
    pod,
    rendered,
    workloads,
)
from tests.support.processes import ROOT

NOT_SETTINGS = ("AWS_", "OTEL_")
A_SECRET = "made up for a test, and long enough"
DATABASE_URL = "postgresql://headrace_app:secret@postgres/headrace"
REDIS_URL = "redis://valkey:6379/0"
MIB, GIB = 1024**2, 1024**3


def deployments(manifests: list[Manifest], component: str) -> list[Manifest]:
    return [
        deployment
        for deployment in of_kind(manifests, "Deployment")
        if labels(deployment).get("app.kubernetes.io/component") == component
    ]


def settings_of(
    manifests: list[Manifest], container: Manifest, monkeypatch: pytest.MonkeyPatch
) -> tuple[Settings, dict[str, str]]:
    """The settings that a container starts with, secrets made up, and its environment."""
    made_up = {"DATABASE_URL": DATABASE_URL, "REDIS_URL": REDIS_URL}
    found = environment(manifests, container)
    values = {
        name: made_up.get(name, A_SECRET) if value.startswith("secret:") else value
        for name, value in found.items()
    }
    known = {name.upper() for name in Settings.model_fields}
    for name in known:
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        assert name in known or name.startswith(NOT_SETTINGS), f"{name} is no setting"
        monkeypatch.setenv(name, value)
    return Settings(_env_file=None), found


@pytest.mark.parametrize("rendering", RENDERINGS)
@pytest.mark.parametrize("component", ["api", "worker", "notify"])
def test_the_environment_of_each_pod_makes_valid_settings(
    rendering: str, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = rendered(rendering)
    for deployment in deployments(manifests, component):
        settings, _ = settings_of(manifests, main_container(deployment), monkeypatch)
        assert settings.is_production


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_the_config_map_says_only_what_differs_from_the_defaults(rendering: str) -> None:
    config = named(rendered(rendering), "ConfigMap", "headrace")["data"]
    example = (ROOT / ".env.example").read_text(encoding="utf-8")

    for name, value in config.items():
        field = Settings.model_fields[name.lower()]
        assert str(field.get_default()) != value, name
        assert re.search(rf"^#? ?{name}=", example, re.MULTILINE), name
        assert not re.search("SECRET|PASSWORD|URL$", name) or name == "STORAGE_URL"


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_only_pods_that_need_it_have_the_key_and_only_the_migration_owns_the_tables(
    rendering: str,
) -> None:
    manifests = rendered(rendering)
    for workload in ours(manifests):
        component = labels(workload)["app.kubernetes.io/component"]
        for container in containers(workload):
            variables = environment(manifests, container)
            has_key = any("SECRET_KEY" in name for name in variables if not name.startswith("AWS_"))
            needs_key = container["name"] == component and component in ("api", "notify")
            assert has_key == needs_key, name_of(workload)
            owner = "headrace-owner" in variables["DATABASE_URL"]
            assert owner == (component == "migrate"), name_of(workload)


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_secrets_are_named_key_by_key(rendering: str) -> None:
    for workload in ours(rendered(rendering)):
        for container in containers(workload):
            assert not any("secretRef" in source for source in container.get("envFrom", []))


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_a_folder_is_storage_on_one_node_only(rendering: str) -> None:
    url = named(rendered(rendering), "ConfigMap", "headrace")["data"]["STORAGE_URL"]

    assert url.startswith("file:") == (rendering in ON_ONE_NODE)


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_the_api_delivers_notifications_unless_other_pods_do(
    rendering: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = rendered(rendering)
    (api,) = deployments(manifests, "api")
    settings, _ = settings_of(manifests, main_container(api), monkeypatch)

    assert settings.deliver_notifications == (not deployments(manifests, "notify"))
    assert bool(deployments(manifests, "notify")) == (rendering in DELIVERING)


@pytest.mark.parametrize("rendering", DELIVERING)
def test_the_deliverer_has_what_it_needs_and_no_more(rendering: str) -> None:
    manifests = rendered(rendering)
    (notify,) = deployments(manifests, "notify")
    container = main_container(notify)
    shared = named(manifests, "ConfigMap", "headrace")["data"]
    secret = {
        name: value.partition(":")[2]
        for name, value in environment(manifests, container).items()
        if value.startswith("secret:")
    }

    assert container["args"] == ["app", "notify"]
    assert secret.keys() - shared.keys() == {
        *("DATABASE_URL", "SECRET_KEY", "PREVIOUS_SECRET_KEY", "SMTP_USERNAME", "SMTP_PASSWORD")
    }
    assert {volume["name"] for volume in pod(notify)["volumes"]} == {"tmp"}


def test_the_key_of_dev_is_not_the_one_that_production_refuses() -> None:
    secret = named(rendered("dev"), "Secret", "headrace")

    assert "SECRET_KEY" in secret["data"]
    assert DEVELOPMENT_SECRET not in (K8S / "overlays" / "dev" / "kustomization.yaml").read_text("utf-8")


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_uploads_and_conversions_fit_into_the_apis_tmp(
    rendering: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = rendered(rendering)
    (api,) = deployments(manifests, "api")
    settings, _ = settings_of(manifests, main_container(api), monkeypatch)

    needed = settings.max_spool_bytes + 2 * settings.max_dataset_bytes + GIB

    assert needed <= _tmp_bytes(api)
    assert _tmp_bytes(api) + GIB <= number_of_bytes(_limits(api)["ephemeral-storage"])


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_children_reach_their_limit_before_the_container_does(
    rendering: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = rendered(rendering)
    for worker in deployments(manifests, "worker"):
        settings, _ = settings_of(manifests, main_container(worker), monkeypatch)
        resources = main_container(worker)["resources"]
        in_lane = settings.worker_predict_slots if lane.serves_lane(settings.worker_queues) else 0
        has_children = settings.engine == "pool"  # otherwise they are elsewhere, see `test_ray`
        slots = settings.worker_slots + in_lane + 0.5 if has_children else 0
        needed = 384 * MIB + slots * settings.child_memory_limit_bytes

        assert needed <= 0.95 * number_of_bytes(resources["limits"]["memory"])
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
        if has_children:
            assert settings.worker_cache_bytes + 2 * GIB * settings.worker_slots <= _tmp_bytes(worker)
        assert _tmp_bytes(worker) < number_of_bytes(resources["limits"]["ephemeral-storage"])


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_every_process_has_the_time_it_needs_to_stop(rendering: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = rendered(rendering)
    (api,) = deployments(manifests, "api")
    settings, _ = settings_of(manifests, main_container(api), monkeypatch)
    prestop = main_container(api)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert prestop + 5 + settings.stop_seconds + 10 <= pod(api)["terminationGracePeriodSeconds"]

    for worker in deployments(manifests, "worker"):
        settings, _ = settings_of(manifests, main_container(worker), monkeypatch)
        assert settings.drain_seconds + 4 + 15 <= pod(worker)["terminationGracePeriodSeconds"]
    for notify in deployments(manifests, "notify"):
        assert pod(notify)["terminationGracePeriodSeconds"] >= DRAIN_SECONDS + STOP_SECONDS + 15


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_probes_ask_ports_that_are_there_and_liveness_is_not_readiness(rendering: str) -> None:
    for workload in of_kind(rendered(rendering), "Deployment", "StatefulSet"):
        container = main_container(workload)
        ports = {port["name"] for port in container["ports"]}
        probes = {
            name: container[name]
            for name in ("startupProbe", "livenessProbe", "readinessProbe")
            if name in container
        }
        for probe in probes.values():
            action = probe.get("httpGet") or probe.get("tcpSocket")
            assert action is None or action["port"] in ports
        if "livenessProbe" in probes:
            paths = {name: probe["httpGet"]["path"] for name, probe in probes.items()}
            assert paths["livenessProbe"] != paths["readinessProbe"], name_of(workload)


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_every_container_asks_for_what_it_needs_and_no_cpu_is_withheld(rendering: str) -> None:
    for workload in workloads(rendered(rendering)):
        for container in containers(workload):
            resources = container["resources"]
            assert {"cpu", "memory", "ephemeral-storage"} <= resources["requests"].keys()
            assert {"memory", "ephemeral-storage"} <= resources["limits"].keys()
            assert "cpu" not in resources["limits"]


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_selectors_select_the_pods_they_are_meant_for(rendering: str) -> None:
    manifests = rendered(rendering)
    templates = {name_of(workload): labels(workload) for workload in workloads(manifests)}

    def selected(selector: dict[str, str]) -> list[str]:
        return [name for name, has in templates.items() if selector.items() <= has.items()]

    for workload in of_kind(manifests, "Deployment", "StatefulSet"):
        assert selected(workload["spec"]["selector"]["matchLabels"]) == [name_of(workload)]
    for service in of_kind(manifests, "Service"):
        assert selected(service["spec"]["selector"]) == [name_of(service)]
    for budget in of_kind(manifests, "PodDisruptionBudget"):
        assert selected(budget["spec"]["selector"]["matchLabels"]) == [name_of(budget)]
        assert budget["spec"]["maxUnavailable"] == 1
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject"):
        assert scaler["spec"]["scaleTargetRef"]["name"] in templates


@pytest.mark.parametrize("rendering", [name for name in RENDERINGS if name not in ON_ONE_NODE])
def test_prometheus_scrapes_every_deployment(rendering: str) -> None:
    manifests = rendered(rendering)
    spec = named(manifests, "PodMonitor", "headrace")["spec"]
    [endpoint] = spec["podMetricsEndpoints"]
    scraped = {
        name_of(workload)
        for workload in workloads(manifests)
        if spec["selector"]["matchLabels"].items() <= labels(workload).items()
        and endpoint["port"] in {port["name"] for port in main_container(workload).get("ports", [])}
    }

    assert scraped == {name_of(deployment) for deployment in of_kind(manifests, "Deployment")}
    for kind in ("PodMonitor", "PrometheusRule"):
        assert named(manifests, kind, "headrace")["metadata"]["labels"]["release"] == "prometheus"


@pytest.mark.parametrize("rendering", [WITH_GPU, "production"])
def test_the_autoscaler_counts_the_slots_that_there_can_be(rendering: str) -> None:
    manifests = rendered(rendering)
    for scaler in of_kind(manifests, "ScaledObject"):
        spec = scaler["spec"]
        worker = named(manifests, "Deployment", spec["scaleTargetRef"]["name"])
        variables = environment(manifests, main_container(worker))
        slots = int(variables["WORKER_SLOTS"])
        queries = {trigger["name"]: trigger["metadata"]["query"] for trigger in spec["triggers"]}
        at_most = spec["maxReplicaCount"] * slots + slots
        queues = ",".join(lane.queues_of_worker(tuple(variables["WORKER_QUEUES"].split(","))))

        assert queries["need"] == f"SELECT headrace_slots_needed('{{{queues}}}', {at_most})"
        target: dict[str, Any] = spec.get("advanced", {}).get("scalingModifiers", {})
        assert target.get("target", spec["triggers"][0]["metadata"]["targetQueryValue"]) == str(slots)


def test_the_slots_of_a_gpu_worker_have_the_gpus_of_its_container() -> None:
    manifests = rendered(WITH_GPU)
    container = main_container(named(manifests, "Deployment", "headrace-worker-gpu"))
    variables = environment(manifests, container)
    ordinary = main_container(named(manifests, "Deployment", "headrace-worker"))

    assert int(variables["WORKER_SLOTS"]) * int(variables["SLOT_GPUS"]) == int(
        container["resources"]["limits"]["nvidia.com/gpu"]
    )
    assert variables["WORKER_QUEUES"] == GPU_QUEUE
    assert "SLOT_GPUS" not in environment(manifests, ordinary)


def test_the_ports_are_those_of_the_image() -> None:
    exposed = re.search(r"^EXPOSE (.*)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    manifests = rendered("production")
    ports = {
        str(port["containerPort"])
        for deployment in of_kind(manifests, "Deployment")
        for port in main_container(deployment)["ports"]
    }

    assert exposed is not None
    assert ports == set(exposed[1].split())


def _limits(workload: Manifest) -> dict[str, str]:
    return dict(main_container(workload)["resources"]["limits"])


def _tmp_bytes(workload: Manifest) -> int:
    (size,) = [
        volume["emptyDir"]["sizeLimit"] for volume in pod(workload)["volumes"] if volume["name"] == "tmp"
    ]
    return number_of_bytes(size)
