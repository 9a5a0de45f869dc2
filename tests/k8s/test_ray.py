"""The overlay `ray`: a Ray cluster that is Headrace's alone, and the worker whose jobs run on it."""

import re
from pathlib import Path
from typing import Any

import yaml

from app.core.config import Settings, load_settings
from tests.k8s.rendering import (
    K8S,
    WITH_RAY,
    Manifest,
    environment,
    main_container,
    name_of,
    named,
    number_of_bytes,
    of_kind,
    pod,
    ray_nodes,
    rendered,
)

OF_RAY_BYTES = 2 * 1024**3
"""What Ray's own processes on a node take, and a host with its fork server."""

PINNED = K8S.parent / "requirements" / "ray.txt"


def cluster() -> dict[str, Any]:
    spec = named(rendered(WITH_RAY), "RayCluster", "headrace")["spec"]
    assert isinstance(spec, dict)
    return spec


def worker() -> Manifest:
    return named(rendered(WITH_RAY), "Deployment", "headrace-worker-ray")


def worker_environment() -> dict[str, str]:
    return environment(rendered(WITH_RAY), main_container(worker()))


def test_the_cluster_runs_the_version_of_ray_that_the_worker_has() -> None:
    [pinned] = re.findall(r"^ray==([0-9.]+) ", PINNED.read_text(), re.MULTILINE)

    assert cluster()["rayVersion"] == pinned


def test_every_node_runs_the_image_of_the_worker() -> None:
    images = {main_container(nodes)["image"] for nodes in ray_nodes(rendered(WITH_RAY))}

    assert images == {main_container(worker())["image"]}


def test_cluster_and_worker_have_the_same_token_and_no_other_pod_has_it() -> None:
    own = worker_environment()
    options = cluster()["authOptions"]

    assert options == {"mode": "token", "secretName": "headrace-ray"}
    assert own["RAY_AUTH_MODE"] == options["mode"]
    assert own["RAY_AUTH_TOKEN"] == f"secret:{options['secretName']}/auth_token"
    for deployment in of_kind(rendered(WITH_RAY), "Deployment"):
        holds = "RAY_AUTH_TOKEN" in environment(rendered(WITH_RAY), main_container(deployment))
        assert holds == (name_of(deployment) == "headrace-worker-ray")
    examples = [item for item in yaml.safe_load_all((K8S / "secrets.example.yaml").read_text()) if item]
    assert {item["metadata"]["namespace"] for item in examples if name_of(item) == "headrace-ray"} == {
        "headrace",
        "headrace-ray",
    }


def test_the_cluster_is_in_a_namespace_without_secrets_of_headrace() -> None:
    manifests = rendered(WITH_RAY)
    elsewhere = [item for item in manifests if item["metadata"].get("namespace") == "headrace-ray"]

    assert {item["kind"] for item in elsewhere} == {"RayCluster", "NetworkPolicy"}
    for nodes in ray_nodes(manifests):
        container = main_container(nodes)
        assert "envFrom" not in container
        assert set(environment(manifests, container)) == {
            *("HOME", "PYTHONPATH", "RAY_USAGE_STATS_ENABLED", "GRPC_ENABLE_FORK_SUPPORT"),
        }
        assert all(set(volume) == {"name", "emptyDir"} for volume in pod(nodes)["volumes"])


def test_the_worker_finds_the_cluster_and_its_settings_are_valid() -> None:
    own = worker_environment()
    head = named(rendered(WITH_RAY), "RayCluster", "headrace")
    [client] = [port for port in main_container(ray_nodes([head])[0])["ports"] if port["name"] == "client"]

    service = f"{name_of(head)}-head-svc.{head['metadata']['namespace']}"  # as KubeRay names it
    assert own["RAY_ADDRESS"] == f"ray://{service}:{client['containerPort']}"
    assert own["ENGINE_HOST"] == "field:status.podIP"
    [hosts] = [port for port in main_container(worker())["ports"] if port["name"] == "hosts"]
    assert own["ENGINE_PORT"] == str(hosts["containerPort"])
    servers = {"DATABASE_URL": "postgresql://localhost/x", "REDIS_URL": "redis://localhost"}
    names = ("ENGINE", "ENGINE_PORT", "SLOT_CPUS", "RAY_ADDRESS", "RAY_AUTH_MODE", "WORKER_SLOTS")
    values = {name.lower(): {**own, **servers}[name] for name in (*names, *servers)}
    assert load_settings(_env_file=None, **values).engine == "ray"


def test_nodes_come_from_none_and_have_room_for_what_the_slots_ask() -> None:
    spec = cluster()
    own = worker_environment()
    groups = {group["groupName"]: group for group in spec["workerGroupSpecs"]}

    assert spec["enableInTreeAutoscaling"] is True
    for group in groups.values():
        assert (group["replicas"], group["minReplicas"]) == (0, 0)
    limits = main_container(ray_nodes(rendered(WITH_RAY))[2])["resources"]["limits"]
    assert int(own["SLOT_GPUS"]) == limits["nvidia.com/gpu"]
    for nodes in ray_nodes(rendered(WITH_RAY))[1:]:
        params = groups[name_of(nodes).removeprefix("ray-")]["rayStartParams"]
        assert params["num-cpus"] == main_container(nodes)["resources"]["requests"]["cpu"]
        assert float(own["SLOT_CPUS"]) < float(params["num-cpus"])
    assert int(own["WORKER_SLOTS"]) == groups["gpu"]["maxReplicas"] * limits["nvidia.com/gpu"]
    assert own["WORKER_QUEUES"] == "gpu"
    assert own["WORKER_PREDICT_SLOTS"] == "0"


def test_the_slots_of_a_node_fit_into_its_memory_and_its_disk() -> None:
    own = worker_environment()
    [gpu] = [nodes for nodes in ray_nodes(rendered(WITH_RAY)) if name_of(nodes) == "ray-gpu"]
    limits = main_container(gpu)["resources"]["limits"]
    slots = limits["nvidia.com/gpu"] // int(own["SLOT_GPUS"])

    children = slots * int(own["CHILD_MEMORY_LIMIT_BYTES"])
    assert children + OF_RAY_BYTES <= number_of_bytes(limits["memory"])
    scratch = slots * int(Settings.model_fields["child_max_scratch_bytes"].default)
    [tmp] = [volume["emptyDir"] for volume in pod(gpu)["volumes"] if volume["name"] == "tmp"]
    assert scratch + int(own["WORKER_CACHE_BYTES"]) < number_of_bytes(tmp["sizeLimit"])


def test_the_worker_has_time_to_drain() -> None:
    assert float(worker_environment()["DRAIN_SECONDS"]) < pod(worker())["terminationGracePeriodSeconds"]


def test_the_head_runs_no_job_and_has_no_dashboard() -> None:
    head = cluster()["headGroupSpec"]

    assert head["rayStartParams"]["num-cpus"] == "0"
    assert head["rayStartParams"]["num-gpus"] == "0"
    assert head["rayStartParams"]["include-dashboard"] == "false"
    assert head["enableIngress"] is False
    assert head["serviceType"] == "ClusterIP"


def test_the_autoscaler_is_confined_like_the_nodes() -> None:
    options = cluster()["autoscalerOptions"]
    head = main_container(ray_nodes(rendered(WITH_RAY))[0])

    assert options["securityContext"] == head["securityContext"]
    assert number_of_bytes(options["resources"]["limits"]["memory"]) > 0


def test_what_a_node_may_write_fits_into_its_disk() -> None:
    for nodes in ray_nodes(rendered(WITH_RAY)):
        container = main_container(nodes)
        volumes = {volume["name"]: volume["emptyDir"] for volume in pod(nodes)["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}

        assert mounts == {"tmp": "/tmp", "shm": "/dev/shm"}
        limit = number_of_bytes(container["resources"]["limits"]["ephemeral-storage"])
        assert number_of_bytes(volumes["tmp"]["sizeLimit"]) < limit
        assert volumes["shm"]["medium"] == "Memory"
        params = (
            cluster()["headGroupSpec"]["rayStartParams"]
            if name_of(nodes) == "ray-headgroup"
            else cluster()["workerGroupSpecs"][0]["rayStartParams"]
        )
        assert int(params["object-store-memory"]) < number_of_bytes(volumes["shm"]["sizeLimit"])


def test_the_folder_of_the_code_is_that_of_the_image() -> None:
    dockerfile = (Path(K8S).parent / "Dockerfile").read_text()
    [folder] = re.findall(r"^WORKDIR (\S+)$", dockerfile, re.MULTILINE)

    for nodes in ray_nodes(rendered(WITH_RAY)):
        assert environment(rendered(WITH_RAY), main_container(nodes))["PYTHONPATH"] == folder
