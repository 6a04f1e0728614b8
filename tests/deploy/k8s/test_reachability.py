"""The computation of ways reads each part of a NetworkPolicy as the API reference has it."""

from typing import Any

import pytest

from tests.deploy.k8s.reachability import Endpoint, reaches

WEB = Endpoint("web", "10.1.0.1", "shop", {"app": "web"}, {"team": "shop"}, {"http": 8080})
STORE = Endpoint("store", "10.1.0.2", "shop", {"app": "store", "tier": "data"}, {"team": "shop"}, {"http": 8080})
OTHER = Endpoint("other", "10.2.0.1", "bank", {"app": "web"}, {"team": "bank"}, {})
FAR = Endpoint("far", "203.0.113.7")
TO_STORE = {"podSelector": {"matchLabels": {"app": "store"}}}

# What a policy for the store lets in, who asks, at which port, and whether it is let.
CASES: list[tuple[dict[str, Any], Endpoint, tuple[str, int], bool]] = [
    ({"ingress": []}, WEB, ("TCP", 80), False),
    ({"ingress": [{}]}, WEB, ("TCP", 80), True),
    ({"ingress": [{}]}, FAR, ("TCP", 80), True),
    ({"policyTypes": ["Egress"]}, WEB, ("TCP", 80), True),
    ({"ingress": [{"ports": [{"port": 80}]}]}, WEB, ("TCP", 80), True),
    ({"ingress": [{"ports": [{"port": 80}]}]}, WEB, ("TCP", 81), False),
    ({"ingress": [{"ports": [{"port": 80}]}]}, WEB, ("UDP", 80), False),
    ({"ingress": [{"ports": [{"port": 80, "endPort": 90}]}]}, WEB, ("TCP", 85), True),
    ({"ingress": [{"ports": [{"protocol": "UDP"}]}]}, WEB, ("UDP", 85), True),
    ({"ingress": [{"ports": [{"port": "http"}]}]}, WEB, ("TCP", 8080), True),
    ({"ingress": [{"ports": [{"port": "http"}]}]}, WEB, ("TCP", 80), False),
    ({"ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}]}, WEB, ("TCP", 80), True),
    ({"ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}]}, OTHER, ("TCP", 80), False),
    ({"ingress": [{"from": [{"podSelector": {}}]}]}, OTHER, ("TCP", 80), False),
    ({"ingress": [{"from": [{"namespaceSelector": {}}]}]}, OTHER, ("TCP", 80), True),
    ({"ingress": [{"from": [{"namespaceSelector": {}}]}]}, FAR, ("TCP", 80), False),
    ({"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "bank"}}}]}]}, WEB, ("TCP", 80), False),
    (
        # Both in one peer: both must hold.
        {"ingress": [{"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "db"}}}]}]},
        OTHER, ("TCP", 80), False,
    ),
    (
        # In two peers: either will do.
        {"ingress": [{"from": [{"namespaceSelector": {}}, {"podSelector": {"matchLabels": {"app": "db"}}}]}]},
        OTHER, ("TCP", 80), True,
    ),
    ({"ingress": [{"from": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}]}, FAR, ("TCP", 80), True),
    (
        {"ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["203.0.113.0/24"]}}]}]},
        FAR, ("TCP", 80), False,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "source", "port", "is_let"), CASES)
def test_what_a_policy_lets_in(spec: dict[str, Any], source: Endpoint, port: tuple[str, int], is_let: bool):
    policy = {"metadata": {"namespace": "shop"}, "spec": {**TO_STORE, **spec}}
    assert reaches([policy], source, STORE, port) is is_let


@pytest.mark.parametrize(
    ("expression", "is_selected"),
    [
        ({"key": "app", "operator": "In", "values": ["store", "web"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["store"]}, False),
        ({"key": "app", "operator": "NotIn", "values": ["web"]}, True),
        ({"key": "tier", "operator": "Exists"}, True),
        ({"key": "tier", "operator": "DoesNotExist"}, False),
        ({"key": "rack", "operator": "DoesNotExist"}, True),
    ],
)
def test_whom_an_expression_selects(expression: dict[str, Any], is_selected: bool):
    policy = {"metadata": {"namespace": "shop"}, "spec": {"podSelector": {"matchExpressions": [expression]}}}
    assert reaches([policy], WEB, STORE, ("TCP", 80)) is not is_selected


def test_both_ends_must_allow_it_and_one_policy_of_several_is_enough():
    deny = {"metadata": {"namespace": "shop"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}
    out = {"metadata": {"namespace": "shop"}, "spec": {"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]}}
    into = {"metadata": {"namespace": "shop"}, "spec": {"podSelector": {}, "ingress": [{}]}}
    assert reaches([], WEB, STORE, ("TCP", 80))
    assert not reaches([deny, out], WEB, STORE, ("TCP", 80))
    assert not reaches([deny, into], WEB, STORE, ("TCP", 80))
    assert reaches([deny, out, into], WEB, STORE, ("TCP", 80))


def test_a_policy_is_for_its_own_namespace():
    elsewhere = {"metadata": {"namespace": "bank"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    assert reaches([elsewhere], WEB, STORE, ("TCP", 80))
    assert not reaches([elsewhere], WEB, OTHER, ("TCP", 80))
