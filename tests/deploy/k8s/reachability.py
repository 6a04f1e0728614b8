"""Who reaches whom, computed from NetworkPolicies as the Kubernetes API reference defines them.

Pure: policies and endpoints in, ways out. A way is open when what it leaves and what it enters both allow it. An
endpoint that no policy of a direction selects is open in that direction. The kubelet's own traffic, for the probes, is
subject to no policy.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Policy = dict[str, Any]
Port = tuple[str, int]
"""Protocol and number."""


@dataclass(frozen=True)
class Endpoint:
    """A pod with what policies can tell it by, or an address that is no pod."""

    name: str
    ip: str
    namespace: str | None = None
    """None for an address that is no pod."""
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    named_ports: Mapping[str, int] = field(default_factory=dict)


def reaches(policies: Iterable[Policy], source: Endpoint, to: Endpoint, port: Port) -> bool:
    """Say whether ``source`` can connect to ``port`` of ``to``."""
    every = list(policies)
    leaves = _allows(every, "Egress", source, to, to, port)
    return leaves and _allows(every, "Ingress", to, source, to, port)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Say whether a label selector selects these labels; an empty one selects everything."""
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        _holds(expression, labels) for expression in selector.get("matchExpressions", [])
    )


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values", [])
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise AssertionError(expression)


def _allows(
    policies: list[Policy], direction: str, judged: Endpoint, other: Endpoint, target: Endpoint, port: Port
) -> bool:
    rules_key, peers_key = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    selecting = [policy for policy in policies if direction in _types(policy) and _is_for(policy, judged)]
    if not selecting:
        return True
    return any(
        _is_peer(rule.get(peers_key), other, judged.namespace) and _is_port(rule.get("ports"), target, port)
        for policy in selecting
        for rule in policy["spec"].get(rules_key) or []
    )


def _types(policy: Policy) -> list[str]:
    stated: list[str] | None = policy["spec"].get("policyTypes")
    return stated or (["Ingress", "Egress"] if policy["spec"].get("egress") else ["Ingress"])


def _is_for(policy: Policy, endpoint: Endpoint) -> bool:
    in_namespace = policy["metadata"].get("namespace") == endpoint.namespace
    return in_namespace and selects(policy["spec"].get("podSelector", {}), endpoint.labels)


def _is_peer(peers: list[dict[str, Any]] | None, other: Endpoint, namespace: str | None) -> bool:
    return not peers or any(_matches(peer, other, namespace) for peer in peers)


def _matches(peer: Mapping[str, Any], other: Endpoint, namespace: str | None) -> bool:
    if "ipBlock" in peer:
        block, address = peer["ipBlock"], ip_address(other.ip)
        excepted = any(address in ip_network(cidr) for cidr in block.get("except", []))
        return address in ip_network(block["cidr"]) and not excepted
    if other.namespace is None:
        return False
    if "namespaceSelector" in peer:
        in_namespace = selects(peer["namespaceSelector"], other.namespace_labels)
    else:
        in_namespace = other.namespace == namespace
    return in_namespace and selects(peer.get("podSelector", {}), other.labels)


def _is_port(ports: list[dict[str, Any]] | None, target: Endpoint, port: Port) -> bool:
    return not ports or any(_covers(stated, target, port) for stated in ports)


def _covers(stated: Mapping[str, Any], target: Endpoint, port: Port) -> bool:
    protocol, number = port
    if stated.get("protocol", "TCP") != protocol:
        return False
    first = stated.get("port")
    if first is None:
        return True
    if isinstance(first, str):
        return target.named_ports.get(first) == number
    last: int = stated.get("endPort", first)
    return bool(first <= number <= last)
