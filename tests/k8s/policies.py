"""Who may connect to whom, as the NetworkPolicies say (networking.k8s.io/v1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from tests.k8s.rendering import Manifest, of_kind


@dataclass(frozen=True)
class Pod:
    """A pod of the cluster, in a namespace with labels; `ports` are its named ports."""

    labels: Mapping[str, str]
    namespace: Mapping[str, str]
    ports: Mapping[str, int]


@dataclass(frozen=True)
class Host:
    """An address outside the cluster."""

    address: str


Peer = Pod | Host


def may_connect(
    manifests: Sequence[Manifest], source: Peer, target: Peer, port: int, protocol: str = "TCP"
) -> bool:
    """Whether the egress policies of the source and the ingress policies of the target allow it."""
    policies = of_kind(manifests, "NetworkPolicy")
    return _allows(policies, "Egress", source, target, target, port, protocol) and _allows(
        policies, "Ingress", target, source, target, port, protocol
    )


def _allows(
    policies: Sequence[Manifest],
    direction: str,
    subject: Peer,
    peer: Peer,
    target: Peer,
    port: int,
    protocol: str,
) -> bool:
    if isinstance(subject, Host):
        return True  # these policies are not about it
    about = [
        policy["spec"]
        for policy in policies
        if _namespace(subject) == policy["metadata"]["namespace"]
        and direction in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], subject.labels)
    ]
    rules = [rule for spec in about for rule in spec.get(direction.lower(), [])]
    field = "to" if direction == "Egress" else "from"
    return not about or any(
        _is_peer(rule.get(field), subject, peer) and _is_port(rule.get("ports"), target, port, protocol)
        for rule in rules
    )


def _namespace(pod: Pod) -> str | None:
    return pod.namespace.get("kubernetes.io/metadata.name")


def _is_peer(peers: Sequence[Mapping[str, Any]] | None, subject: Pod, peer: Peer) -> bool:
    if not peers:
        return True  # a rule without peers is for all of them
    return any(_matches(entry, subject, peer) for entry in peers)


def _matches(entry: Mapping[str, Any], subject: Pod, peer: Peer) -> bool:
    if "ipBlock" in entry:
        block = entry["ipBlock"]
        return (
            isinstance(peer, Host)
            and ip_address(peer.address) in ip_network(block["cidr"])
            and not any(ip_address(peer.address) in ip_network(hole) for hole in block.get("except", []))
        )
    if isinstance(peer, Host):
        return False
    if "namespaceSelector" in entry:
        if not _selects(entry["namespaceSelector"], peer.namespace):
            return False
    elif _namespace(peer) != _namespace(subject):
        return False
    return _selects(entry.get("podSelector", {}), peer.labels)


def _is_port(ports: Sequence[Mapping[str, Any]] | None, target: Peer, port: int, protocol: str) -> bool:
    if not ports:
        return True
    for entry in ports:
        wanted = entry.get("port")
        if isinstance(wanted, str):  # a name, which the pod at the other end gives its number
            wanted = target.ports.get(wanted) if isinstance(target, Pod) else None
            if wanted is None:
                continue
        if entry.get("protocol", "TCP") == protocol and wanted in (None, port):
            return True
    return False


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True
