"""No pod violates the Pod Security standard `restricted`, and none has more rights than it needs."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.k8s.rendering import (
    RENDERINGS,
    Manifest,
    containers,
    main_container,
    name_of,
    named,
    of_kind,
    pod,
    rendered,
    workloads,
)

# https://kubernetes.io/docs/concepts/security/pod-security-standards/, and what we ask for beyond it.
ALLOWED_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
    *("persistentVolumeClaim", "projected", "secret"),
}
SCALES_ITSELF = "ray-headgroup"
"""Ray's autoscaler, which KubeRay runs in the pod of the head, changes the number of nodes."""

SAFE_SECCOMP = {"RuntimeDefault", "Localhost"}


def violations(workload: Manifest) -> Iterator[str]:
    """What in the template of a workload is not `restricted`."""
    spec = pod(workload)
    yield from (f"{field} is set" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field))
    for volume in spec.get("volumes", []):
        yield from (f"volume {field}" for field in volume.keys() - ALLOWED_VOLUMES - {"name"})
    context = spec.get("securityContext", {})
    if context.get("sysctls"):
        yield "sysctls are set"
    for container in containers(workload):
        own = container.get("securityContext", {})
        name = container["name"]
        if own.get("privileged"):
            yield f"{name} is privileged"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name} may escalate its privileges"
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            yield f"{name} keeps capabilities"
        if (own.get("runAsNonRoot", context.get("runAsNonRoot"))) is not True:
            yield f"{name} may run as root"
        if not own.get("runAsUser", context.get("runAsUser")):
            yield f"{name} does not say as which user it runs"
        seccomp = own.get("seccompProfile", context.get("seccompProfile", {}))
        if seccomp.get("type") not in SAFE_SECCOMP:
            yield f"{name} has no seccomp profile"
        if own.get("procMount", "Default") != "Default":
            yield f"{name} sees all of /proc"
        if any(port.get("hostPort") for port in container.get("ports", [])):
            yield f"{name} takes a port of its node"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{name} may write to its image"
    if spec.get("automountServiceAccountToken") is not False and name_of(workload) != SCALES_ITSELF:
        yield "the pod gets a token of the cluster's API"
    if spec.get("enableServiceLinks") is not False:
        yield "Services get into the environment"


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_every_pod_is_restricted(rendering: str) -> None:
    found = {name_of(workload): list(violations(workload)) for workload in workloads(rendered(rendering))}

    assert found == {name: [] for name in found}


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_each_namespace_enforces_it(rendering: str) -> None:
    for namespace in of_kind(rendered(rendering), "Namespace"):
        for mode in ("enforce", "audit", "warn"):
            assert namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"] == "restricted"


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_nothing_has_rights_at_the_cluster(rendering: str) -> None:
    kinds = {manifest["kind"] for manifest in rendered(rendering)}

    assert kinds.isdisjoint({"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"})
    for account in of_kind(rendered(rendering), "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def _set(*path: Any, value: Any) -> Callable[[Manifest], None]:
    def change(workload: Manifest) -> None:
        where: Any = pod(workload)
        for part in path[:-1]:
            where = where.setdefault(part, {}) if isinstance(where, dict) else where[part]
        where[path[-1]] = value

    return change


CONTAINER = ("containers", 0, "securityContext")
MUTANTS: dict[str, Callable[[Manifest], None]] = {
    "the network of the node": _set("hostNetwork", value=True),
    "the processes of the node": _set("hostPID", value=True),
    "a folder of the node": _set("volumes", value=[{"name": "tmp", "hostPath": {"path": "/"}}]),
    "a sysctl": _set("securityContext", "sysctls", value=[{"name": "kernel.msgmax", "value": "1"}]),
    "a privileged container": _set(*CONTAINER, "privileged", value=True),
    "escalation": _set(*CONTAINER, "allowPrivilegeEscalation", value=True),
    "a capability": _set(*CONTAINER, "capabilities", value={"drop": ["ALL"], "add": ["SYS_PTRACE"]}),
    "all capabilities": _set(*CONTAINER, "capabilities", value={}),
    "root": _set(*CONTAINER, "runAsNonRoot", value=False),
    "no user": _set("securityContext", "runAsUser", value=None),
    "no seccomp": _set("securityContext", "seccompProfile", value={"type": "Unconfined"}),
    "all of proc": _set(*CONTAINER, "procMount", value="Unmasked"),
    "a port of the node": _set("containers", 0, "ports", value=[{"containerPort": 8000, "hostPort": 80}]),
    "a root file system": _set(*CONTAINER, "readOnlyRootFilesystem", value=False),
    "a token": _set("automountServiceAccountToken", value=True),
    "links to services": _set("enableServiceLinks", value=True),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_pod_that_is_given_more_is_found(name: str) -> None:
    workload = named(rendered("production"), "Deployment", "headrace-worker")

    MUTANTS[name](workload)

    assert list(violations(workload))


def test_an_init_container_is_looked_at_too() -> None:
    workload = named(rendered("production"), "Deployment", "headrace-worker")

    pod(workload)["initContainers"][0]["securityContext"]["allowPrivilegeEscalation"] = True

    assert list(violations(workload)) == ["schema may escalate its privileges"]
    assert main_container(workload)["name"] == "worker"
