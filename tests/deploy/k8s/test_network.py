"""Who reaches whom is computed from the rendered policies, for every pair and port, and is exactly what is meant."""

from copy import deepcopy
from functools import cache
from itertools import product

import pytest

from tests.deploy.k8s.places import ADDRESSES, NAMESPACES, OUTSIDE, PORTS, PRIVATE, inside
from tests.deploy.k8s.reachability import Endpoint, Policy, reaches
from tests.deploy.k8s.rendered import OVERLAYS, SERVICES, named, of_kind, overlay

Way = tuple[str, str, int]
Meant = tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]
"""Each of the first reaches each of the second on each port."""

CLIENTS = (*SERVICES, "provision", "console")
EVERY_DESK: tuple[Meant, ...] = (
    (CLIENTS, ("nats",), (4222,)),
    (("nats",), ("nats",), (6222,)),
    (("execution", "ledger", "provision"), ("postgres",), (5432,)),
    (("operators",), ("risk",), (8403,)),
    (("operators",), ("execution",), (8404,)),
    (("operators",), ("ledger",), (8405,)),
    (SERVICES, ("collector",), (4318,)),
    ((*CLIENTS, "nats"), ("dns",), (53,)),
)
SIMULATED: tuple[Meant, ...] = (
    (("marketdata", "execution"), ("simvenue",), (8410,)),
    # A server that is alone is asked how it was started.
    (("provision",), ("nats",), (8222,)),
)
OUTSIDE_VENUE: tuple[Meant, ...] = ((("marketdata", "execution"), ("venue",), (443,)),)
PROMETHEUS: tuple[Meant, ...] = (
    (("prometheus",), ("marketdata",), (8401,)),
    (("prometheus",), ("strategy",), (8402,)),
    (("prometheus",), ("risk",), (8403,)),
    (("prometheus",), ("execution",), (8404,)),
    (("prometheus",), ("ledger",), (8405,)),
    (("prometheus",), ("postgres",), (9187,)),
)
CLOUDNATIVEPG: tuple[Meant, ...] = (
    (("postgres", "database operator"), ("postgres",), (5432, 8000)),
    (("postgres",), ("dns",), (53,)),
    # Wider than one would like: no label selects the API server, so that it is known by private addresses alone.
    (("postgres",), PRIVATE, (443, 6443)),
)
MEANT = {
    "dev": EVERY_DESK + SIMULATED,
    "production": EVERY_DESK + OUTSIDE_VENUE + PROMETHEUS + CLOUDNATIVEPG,
    "second-desk": EVERY_DESK + OUTSIDE_VENUE + PROMETHEUS + CLOUDNATIVEPG,
}


def ways(meant: tuple[Meant, ...]) -> set[Way]:
    """Return every single way."""
    return {way for sources, targets, ports in meant for way in product(sources, targets, ports)}


def open_ways(policies: list[Policy], endpoints: tuple[Endpoint, ...]) -> set[Way]:
    """Return every way that is open, of those that begin or end at a pod of ours."""
    ours = {policy["metadata"]["namespace"] for policy in policies}
    return {
        (source.name, target.name, number)
        for source, target in product(endpoints, repeat=2)
        if source.namespace in ours or target.namespace in ours
        for protocol, number in PORTS
        if reaches(policies, source, target, (protocol, number))
    }


@cache
def found_in(name: str) -> set[Way]:
    objects = overlay(name)
    return open_ways(of_kind(objects, "NetworkPolicy"), (*inside(objects), *OUTSIDE))


@pytest.mark.parametrize("name", OVERLAYS)
def test_exactly_the_ways_are_open_that_are_meant(name: str):
    found, meant = found_in(name), ways(MEANT[name])
    assert found - meant == set()
    assert meant - found == set()


@pytest.mark.parametrize("name", OVERLAYS)
def test_services_never_reach_each_other(name: str):
    assert [way for way in found_in(name) if way[0] in SERVICES and way[1] in SERVICES] == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_only_market_data_and_execution_reach_a_venue_and_risk_no_database(name: str):
    ours = {(source, target) for source, target, _ in found_in(name) if source not in ADDRESSES}
    assert {source for source, target in ours if target in {"simvenue", "venue"}} == {"marketdata", "execution"}
    assert ("risk", "postgres") not in ours


@pytest.mark.parametrize("name", ["production", "second-desk"])
def test_who_may_leave_for_the_venue_reaches_nothing_private(name: str):
    reached = {target for source, target, _ in found_in(name) if source in {"marketdata", "execution"}}
    assert reached & set(PRIVATE) == {"dns", "collector"}
    assert "cloud metadata" not in reached


def test_no_desk_reaches_another():
    both = [overlay(name) for name in ("production", "second-desk")]
    policies = [policy for objects in both for policy in of_kind(objects, "NetworkPolicy")]
    first, second = (inside(objects) for objects in both)
    crossing = [
        (source.name, target.name, number)
        for source, target in [*product(first, second), *product(second, first)]
        for protocol, number in PORTS
        if reaches(policies, source, target, (protocol, number))
    ]
    assert crossing == []


WRONG = {
    "a policy that lets everybody in": (
        {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
        ("stranger", "risk", 8403),
    ),
    "risk may leave for the venue": (
        {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "risk"}},
            "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}],
        },
        ("risk", "venue", 443),
    ),
    "any pod of the monitoring's namespace, and not Prometheus alone": (
        {
            "podSelector": {},
            "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"tollgate-monitoring": "true"}}}]}],
        },
        ("grafana", "nats", 8222),
    ),
    "any port for the operators": (
        {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "nats"}},
            "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"tollgate-operators": "true"}}}]}],
        },
        ("operators", "nats", 4222),
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_computation_notices_a_rule_too_many(wrong: str):
    objects = overlay("dev")
    spec, way = WRONG[wrong]
    policies = deepcopy(of_kind(objects, "NetworkPolicy"))
    policies.append({"metadata": {"name": "wrong", "namespace": NAMESPACES["dev"]}, "spec": spec})
    assert way in open_ways(policies, (*inside(objects), *OUTSIDE)) - ways(MEANT["dev"])


def test_the_computation_notices_when_a_way_is_shut_or_the_denial_is_gone():
    objects = overlay("dev")
    endpoints, policies = (*inside(objects), *OUTSIDE), of_kind(objects, "NetworkPolicy")
    without = {each["metadata"]["name"]: [other for other in policies if other is not each] for each in policies}
    for name, rest in without.items():
        if name == "default-deny":
            assert ("stranger", "strategy", 8402) in open_ways(rest, endpoints)
        else:
            assert open_ways(rest, endpoints) != ways(MEANT["dev"]), name


def test_the_labels_that_policies_know_are_on_the_pods():
    """A database by an operator has its labels from the operator, and from what the Cluster hands down."""
    labels = named(overlay("production"), "Cluster", "postgres")["spec"]["inheritedMetadata"]["labels"]
    assert labels == {"tollgate-role": "database"}
