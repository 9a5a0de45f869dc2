"""What kubectl makes of the overlays, and how tests find their way through it."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.processes import ROOT

K8S: Final = ROOT / "k8s"
KUBECTL: Final = Path(sys.executable).parent / "kubectl"
OVERLAYS: Final = ("dev", "production", "production-hpa")
WITH_GPU: Final = "production with gpu"
WITH_EMAILS: Final = "production with emails"
WITH_NOTIFY: Final = "production with notify"
DEV_WITH_NOTIFY: Final = "dev with notify"
WITH_RAY: Final = "ray"
RENDERINGS: Final = (*OVERLAYS, WITH_RAY, WITH_GPU, WITH_EMAILS, WITH_NOTIFY, DEV_WITH_NOTIFY)
ON_ONE_NODE: Final = ("dev", DEV_WITH_NOTIFY)
"""Those with stores of their own."""

DELIVERING: Final = (WITH_NOTIFY, DEV_WITH_NOTIFY)

_ADDED: Final[dict[str, Any]] = {
    WITH_GPU: {"resources": ["../production", "../../components/gpu"], "components": ["../../version"]},
    WITH_EMAILS: {
        "resources": ["../production"],
        "components": ["../../components/egress-notifications", "../../version"],
    },
    WITH_NOTIFY: {
        "resources": ["../production"],
        "components": [
            *("../../components/egress-notifications", "../../components/notify"),
            "../../version",
        ],
    },
    DEV_WITH_NOTIFY: {
        "resources": ["../dev"],
        "components": ["../../components/notify", "../../version"],
    },
}

Manifest = dict[str, Any]


@cache
def rendered_text(rendering: str) -> str:
    """The YAML of an overlay, or of one with another component."""
    if rendering not in _ADDED:
        return build(K8S / "overlays" / rendering)
    # Beside the overlays, because kustomize takes no absolute path.
    with tempfile.TemporaryDirectory(dir=K8S / "overlays", prefix=".test-") as folder:
        overlay = {"namespace": "headrace", **_ADDED[rendering]}
        Path(folder, "kustomization.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
        return build(Path(folder))


def build(folder: Path) -> str:
    """Run kustomize; its errors fail the test."""
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(rendering: str) -> list[Manifest]:
    """A fresh copy of the manifests, to read or to change."""
    return [manifest for manifest in yaml.safe_load_all(rendered_text(rendering)) if manifest]


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    """Those of these kinds."""
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def named(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    """The one with this name; a generated suffix counts for nothing."""
    found = [
        manifest
        for manifest in of_kind(manifests, kind)
        if manifest["metadata"]["name"] == name
        or (kind in ("ConfigMap", "Secret") and manifest["metadata"]["name"].rpartition("-")[0] == name)
    ]
    assert len(found) == 1, f"{len(found)} {kind} are named {name}"
    return found[0]


WORKLOADS: Final = ("Deployment", "StatefulSet", "Job")
RAY_NODES: Final = "RayNodes"


def workloads(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Everything that has a template for pods."""
    return [*of_kind(manifests, *WORKLOADS), *ray_nodes(manifests)]


def ray_nodes(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The groups of nodes of each Ray cluster as workloads, with what KubeRay adds to their pods."""
    return [
        group
        for cluster in of_kind(manifests, "RayCluster")
        for group in (
            _ray_nodes(cluster, "head", "headgroup", cluster["spec"]["headGroupSpec"]),
            *(
                _ray_nodes(cluster, "worker", group["groupName"], group)
                for group in cluster["spec"]["workerGroupSpecs"]
            ),
        )
    ]


def _ray_nodes(cluster: Manifest, node_type: str, group: str, spec: Manifest) -> Manifest:
    template = spec["template"]
    metadata = template.get("metadata", {})
    added = {
        "ray.io/is-ray-node": "yes",
        "ray.io/cluster": name_of(cluster),
        "ray.io/node-type": node_type,
        "ray.io/group": group,
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }
    labelled = {**metadata, "labels": {**added, **metadata.get("labels", {})}}
    return {
        "kind": RAY_NODES,
        "metadata": {"name": f"ray-{group}", "namespace": cluster["metadata"]["namespace"]},
        "spec": {"template": {**template, "metadata": labelled}},
    }


def ours(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The workloads that run our image."""
    return [workload for workload in workloads(manifests) if name_of(workload).startswith("headrace")]


def name_of(manifest: Mapping[str, Any]) -> str:
    """Its name."""
    name = manifest["metadata"]["name"]
    assert isinstance(name, str)
    return name


def pod(workload: Manifest) -> Manifest:
    """The spec of its pods."""
    spec = workload["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


def labels(workload: Manifest) -> dict[str, str]:
    """The labels of its pods."""
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def containers(workload: Manifest) -> Iterator[Manifest]:
    """Every container of its pods, those that initialise them first."""
    yield from pod(workload).get("initContainers", [])
    yield from pod(workload)["containers"]


def main_container(workload: Manifest) -> Manifest:
    """The first container that is not there to initialise the pod."""
    first = pod(workload)["containers"][0]
    assert isinstance(first, dict)
    return first


def environment(manifests: Sequence[Manifest], container: Manifest) -> dict[str, str]:
    """The variables of a container; what comes from a Secret or a field is its reference."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            config = next(
                item
                for item in of_kind(manifests, "ConfigMap")
                if name_of(item) == source["configMapRef"]["name"]
            )
            found |= config["data"]
    for variable in container.get("env", []):
        found[variable["name"]] = variable.get("value") or _reference(variable["valueFrom"])
    return found


def _reference(source: Mapping[str, Any]) -> str:
    if "secretKeyRef" in source:
        return f"secret:{source['secretKeyRef']['name']}/{source['secretKeyRef']['key']}"
    return f"field:{source['fieldRef']['fieldPath']}"


def number_of_bytes(quantity: str) -> int:
    """A quantity such as `1536Mi` in bytes."""
    for suffix, factor in {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}.items():
        if quantity.endswith(suffix):
            return int(quantity.removesuffix(suffix)) * factor
    return int(quantity)
