"""The NetworkPolicies allow the connections that Headrace needs, and no other."""

import itertools

import pytest

from tests.k8s.policies import Host, Peer, Pod, may_connect
from tests.k8s.rendering import (
    RENDERINGS,
    WITH_EMAILS,
    Manifest,
    labels,
    main_container,
    name_of,
    of_kind,
    rendered,
    workloads,
)

INGRESS = Pod({"app": "ingress"}, {"headrace-ingress": "allowed"}, {}, is_ours=False)
PROMETHEUS = Pod({"app": "prometheus"}, {"headrace-monitoring": "allowed"}, {"otlp": 4318}, is_ours=False)
KEDA = Pod({"app": "keda"}, {"kubernetes.io/metadata.name": "keda"}, {}, is_ours=False)
STRANGER = Pod({"app": "stranger"}, {"kubernetes.io/metadata.name": "elsewhere"}, {}, is_ours=False)
DNS = Pod({"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"}, {}, is_ours=False)
NODE_LOCAL_DNS = Host("169.254.20.10")
METADATA = Host("169.254.169.254")
INTERNET = Host("198.51.100.7")
PLACEHOLDER = Host("192.0.2.10")

PORTS = (25, 53, 80, 443, 465, 587, 4318, 5432, 6379, 8000, 9000)
OUTSIDERS: dict[str, Peer] = {
    "ingress": INGRESS,
    "prometheus": PROMETHEUS,
    "keda": KEDA,
    "stranger": STRANGER,
    "dns": DNS,
    "node-local dns": NODE_LOCAL_DNS,
    "metadata": METADATA,
    "internet": INTERNET,
    "placeholder": PLACEHOLDER,
}


def peers(manifests: list[Manifest]) -> dict[str, Peer]:
    """Our pods by the names of their workloads, and those that surround them."""
    found: dict[str, Peer] = dict(OUTSIDERS)
    for workload in workloads(manifests):
        ports = {port["name"]: port["containerPort"] for port in main_container(workload).get("ports", [])}
        name = "migrate" if workload["kind"] == "Job" else name_of(workload)
        found[name] = Pod(labels(workload), {"kubernetes.io/metadata.name": "headrace"}, ports)
    return found


def expected(rendering: str, names: set[str]) -> set[tuple[str, str, int]]:
    """The table of what should be allowed, as (from, to, port)."""
    workers = {name for name in names if name.startswith("headrace-worker")}
    stores = rendering == "dev"
    database, hints = ("postgres", "valkey") if stores else ("placeholder", "placeholder")
    table = {("ingress", "headrace-api", 8000)}
    for ours in {"headrace-api", "migrate", *workers}:
        table.add((ours, database, 5432))
    for ours in {"headrace-api", *workers}:
        table |= {(ours, hints, 6379), ("prometheus", ours, 9000)}
        if not stores:
            table |= {(ours, "placeholder", 443), (ours, "prometheus", 4318)}
    if rendering == WITH_EMAILS:
        table |= {("headrace-worker", "placeholder", port) for port in (465, 587)}
    if stores:
        table.add(("keda", "postgres", 5432))
    for ours in names - OUTSIDERS.keys():
        table |= {(ours, "dns", 53), (ours, "node-local dns", 53)}
    return table


def allowed(manifests: list[Manifest], everybody: dict[str, Peer]) -> set[tuple[str, str, int]]:
    """Every connection from or to a pod of ours that the policies allow, as (from, to, port)."""
    return {
        (source, target, port)
        for source, target in itertools.permutations(everybody, 2)
        for port in PORTS
        if {source, target} - OUTSIDERS.keys()
        and may_connect(manifests, everybody[source], everybody[target], port)
    }


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_what_is_allowed_is_the_table_and_nothing_else(rendering: str) -> None:
    manifests = rendered(rendering)
    everybody = peers(manifests)

    assert allowed(manifests, everybody) == expected(rendering, set(everybody))


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_no_policy_can_go_unnoticed(rendering: str) -> None:
    manifests = rendered(rendering)
    everybody = peers(manifests)
    complete = allowed(manifests, everybody)

    for policy in of_kind(manifests, "NetworkPolicy"):
        rest = [manifest for manifest in manifests if manifest is not policy]
        assert allowed(rest, everybody) != complete, name_of(policy)


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_names_are_looked_up_over_udp_too(rendering: str) -> None:
    manifests = rendered(rendering)
    api = peers(manifests)["headrace-api"]

    assert may_connect(manifests, api, DNS, 53, "UDP")
    assert not may_connect(manifests, api, INTERNET, 53, "UDP")
