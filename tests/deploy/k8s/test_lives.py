"""How processes are started, watched, stopped and spread: none is lost unseen, and none handed over by chance."""

import pytest

from tests.deploy.k8s.rendered import OVERLAYS, SERVICES, named, of_kind, overlay, pod, pods
from tollgate_execution.settings import ExecutionSection

DRAIN_S_MIN = 30
STANDBYS = ("production", "second-desk")


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_service_is_alive_by_one_page_and_ready_by_another(name: str):
    for service in (*SERVICES, *(("simvenue",) if name == "dev" else ())):
        (container,) = pod(overlay(name), service).containers
        asked = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")}
        assert asked == {
            "startup": {"path": "/healthz", "port": "http"},
            "liveness": {"path": "/healthz", "port": "http"},
            "readiness": {"path": "/readyz", "port": "http"},
        }, service


@pytest.mark.parametrize("name", OVERLAYS)
def test_everything_that_keeps_running_is_probed(name: str):
    for each in pods(overlay(name)):
        if each.owner["kind"] != "Job":
            for container in each.containers:
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys(), each.name


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_container_says_what_it_needs_and_what_it_may_take(name: str):
    for each in pods(overlay(name)):
        for container in each.containers:
            requests, limits = container["resources"]["requests"], container["resources"]["limits"]
            assert requests.keys() == limits.keys() == {"cpu", "memory"}, each.name
            # A process that was promised less than it may take is the first to be ended when the node is full.
            assert requests["memory"] == limits["memory"], each.name


@pytest.mark.parametrize("name", OVERLAYS)
def test_everything_has_time_to_stop_in_order(name: str):
    for each in pods(overlay(name)):
        assert each.spec["terminationGracePeriodSeconds"] >= DRAIN_S_MIN, each.name
    (longest_ms,) = [part.le for part in ExecutionSection.model_fields["stop_ms_max"].metadata if hasattr(part, "le")]
    assert pod(overlay(name), "execution").spec["terminationGracePeriodSeconds"] * 1_000 > 2 * longest_ms


@pytest.mark.parametrize("name", OVERLAYS)
def test_nobody_but_an_operator_hands_a_service_over_and_its_volume_outlives_it(name: str):
    for service in SERVICES:
        spec = named(overlay(name), "StatefulSet", service)["spec"]
        assert spec["updateStrategy"] == {"type": "OnDelete"}, service
        assert spec["podManagementPolicy"] == "Parallel", service
        assert set(spec["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}, service
        (claim,) = spec["volumeClaimTemplates"]
        (container,) = spec["template"]["spec"]["containers"]
        (mount,) = [each for each in container["volumeMounts"] if each["name"] == claim["metadata"]["name"]]
        assert mount["mountPath"] == "/var/lib/tollgate"


@pytest.mark.parametrize("name", STANDBYS)
def test_where_a_desk_trades_each_service_has_a_standby_on_another_node(name: str):
    for service in SERVICES:
        spec = named(overlay(name), "StatefulSet", service)["spec"]
        assert spec["replicas"] == 2, service
        spread = {each["topologyKey"]: each for each in spec["template"]["spec"]["topologySpreadConstraints"]}
        by_node = spread["kubernetes.io/hostname"]
        assert (by_node["maxSkew"], by_node["whenUnsatisfiable"]) == (1, "DoNotSchedule"), service
        assert by_node["matchLabelKeys"] == ["app.kubernetes.io/name"], service


@pytest.mark.parametrize("name", STANDBYS)
def test_the_broker_keeps_its_majority_whatever_a_drain_takes(name: str):
    objects = overlay(name)
    spec = named(objects, "StatefulSet", "nats")["spec"]
    assert spec["replicas"] == 3
    assert named(objects, "PodDisruptionBudget", "nats")["spec"]["minAvailable"] == 2
    (apart,) = spec["template"]["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["topologyKey"] == "kubernetes.io/hostname"


@pytest.mark.parametrize("name", OVERLAYS)
def test_there_is_one_budget_for_each_service_and_the_broker(name: str):
    budgets = {
        each["metadata"]["name"]: each["spec"]["minAvailable"] for each in of_kind(overlay(name), "PodDisruptionBudget")
    }
    assert budgets.keys() == {*SERVICES, "nats"}
    assert all(least == 0 for least in budgets.values()) is (name == "dev")


@pytest.mark.parametrize("name", STANDBYS)
def test_no_failover_of_the_database_forgets_what_was_committed(name: str):
    spec = named(overlay(name), "Cluster", "postgres")["spec"]
    assert spec["instances"] == 3
    assert spec["postgresql"]["synchronous"] == {
        "method": "any",
        "number": 1,
        "dataDurability": "required",
        "failoverQuorum": True,
    }
