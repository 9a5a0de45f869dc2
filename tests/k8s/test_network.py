"""The NetworkPolicies allow the connections that Headrace needs, and no other."""

import itertools
from collections.abc import Iterable
from ipaddress import ip_address

import pytest

from app.notifications.addresses import PUBLIC_PORTS, Addresses
from tests.k8s.policies import Host, Peer, Pod, may_connect
from tests.k8s.rendering import (
    DELIVERING,
    ON_ONE_NODE,
    RENDERINGS,
    WITH_EMAILS,
    WITH_NOTIFY,
    Manifest,
    labels,
    main_container,
    name_of,
    of_kind,
    rendered,
    workloads,
)

INGRESS = Pod({"app": "ingress"}, {"headrace-ingress": "allowed"}, {})
PROMETHEUS = Pod({"app": "prometheus"}, {"headrace-monitoring": "allowed"}, {"otlp": 4318})
KEDA = Pod({"app": "keda"}, {"kubernetes.io/metadata.name": "keda"}, {})
STRANGER = Pod({"app": "stranger"}, {"kubernetes.io/metadata.name": "elsewhere"}, {})
DNS = Pod({"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"}, {})
NODE_LOCAL_DNS = Host("169.254.20.10")
METADATA = Host("169.254.169.254")
DOCUMENTATION = Host("198.51.100.7")
PLACEHOLDER = Host("192.0.2.10")

PUBLIC = Host("93.184.215.14")
PUBLIC_6 = Host("2606:2800:21f:cb07:6820:80da:af6b:8b2c")

PORTS = (25, 53, 80, 443, 465, 587, 4318, 5432, 6379, 8000, 8443, 9000, 9300, 10001, 20000)
OUTSIDERS: dict[str, Peer] = {
    "ingress": INGRESS,
    "prometheus": PROMETHEUS,
    "keda": KEDA,
    "stranger": STRANGER,
    "dns": DNS,
    "node-local dns": NODE_LOCAL_DNS,
    "metadata": METADATA,
    "documentation": DOCUMENTATION,
    "public": PUBLIC,
    "public over IPv6": PUBLIC_6,
    "placeholder": PLACEHOLDER,
}


def peers(manifests: list[Manifest]) -> dict[str, Peer]:
    """Our pods by the names of their workloads, and those that surround them."""
    found: dict[str, Peer] = dict(OUTSIDERS)
    for workload in workloads(manifests):
        ports = {port["name"]: port["containerPort"] for port in main_container(workload).get("ports", [])}
        name = "migrate" if workload["kind"] == "Job" else name_of(workload)
        namespace = {"kubernetes.io/metadata.name": workload["metadata"]["namespace"]}
        found[name] = Pod(labels(workload), namespace, ports)
    if rendering_has_ray(found):
        found["another ray-cpu"] = found["ray-cpu"]
        found["a pod beside the nodes"] = Pod({}, {"kubernetes.io/metadata.name": "headrace-ray"}, {})
    return found


def rendering_has_ray(names: Iterable[str]) -> bool:
    """Whether there are nodes of a Ray cluster."""
    return "ray-cpu" in names


def expected(rendering: str, names: set[str]) -> set[tuple[str, str, int]]:
    """The table of what should be allowed, as (from, to, port)."""
    workers = {name for name in names if name.startswith("headrace-worker")}
    stores = rendering in ON_ONE_NODE
    database, hints = ("postgres", "valkey") if stores else ("placeholder", "placeholder")
    table = {("ingress", "headrace-api", 8000)}
    for ours in {"headrace-api", "migrate", *workers}:
        table.add((ours, database, 5432))
    for ours in {"headrace-api", *workers}:
        table |= {(ours, hints, 6379), ("prometheus", ours, 9000)}
        if not stores:
            table |= {(ours, "placeholder", 443), (ours, "prometheus", 4318)}
    if rendering in (WITH_EMAILS, WITH_NOTIFY):
        table |= {("headrace-worker", "placeholder", port) for port in (465, 587)}
    if rendering == WITH_NOTIFY:
        table |= {("headrace-notify", "placeholder", port) for port in (465, 587)}
    if rendering in DELIVERING:
        table |= {("headrace-notify", database, 5432), ("prometheus", "headrace-notify", 9000)}
        for outside in ("public", "public over IPv6"):
            table |= {("headrace-notify", outside, port) for port in PUBLIC_PORTS}
    if stores:
        table.add(("keda", "postgres", 5432))
    if rendering_has_ray(names):
        nodes = {name for name in names if "ray-" in name and name not in workers}
        table |= {(one, other, port) for one, other in itertools.permutations(nodes, 2) for port in PORTS}
        table |= {(node, "headrace-worker-ray", 9300) for node in nodes - {"ray-headgroup"}}
        table |= {
            ("headrace-worker-ray", "ray-headgroup", 10001),
            ("ray-headgroup", "placeholder", 443),  # the API server of Kubernetes
        }
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
    assert not may_connect(manifests, api, PUBLIC, 53, "UDP")


# Of each network that may not be reached, an address; and public ones right beside some of them.
@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.1", "10.0.0.1", "10.255.255.254", "100.64.0.1", "127.0.0.1", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.254", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
        *("198.18.0.1", "198.19.255.254", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1"),
        *("240.0.0.1", "255.255.255.255", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1"),
        *("2001::1", "2001:db8::1", "2002:a00:1::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1"),
        *("ff02::1", "100::1"),
        *("9.255.255.254", "11.0.0.1", "100.63.255.254", "100.128.0.1", "126.255.255.254", "128.0.0.1"),
        *("169.253.255.254", "169.255.0.1", "172.15.255.254", "172.32.0.1", "192.0.1.1", "192.167.1.1"),
        *("198.17.255.254", "198.20.0.1", "223.255.255.254", "2001:200::1", "2003::1", "2a00::1"),
    ],
)
@pytest.mark.parametrize("rendering", DELIVERING)
def test_the_deliverer_reaches_the_addresses_that_it_would_connect_to_and_no_others(
    rendering: str, address: str
) -> None:
    manifests = rendered(rendering)
    notify = peers(manifests)["headrace-notify"]
    addresses = Addresses()
    may_reach = addresses.may_reach(ip_address(address))
    addresses.close()

    assert may_connect(manifests, notify, Host(address), 443) == may_reach
    assert not may_connect(manifests, notify, Host(address), 80)
