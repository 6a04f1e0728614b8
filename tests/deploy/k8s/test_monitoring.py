"""Prometheus and Grafana get what lies in deploy/prometheus and deploy/grafana, and no copy that has drifted."""

import json

import jsonschema
import pytest
import yaml

from tests.deploy.k8s.custom_resources import SCHEMAS
from tests.deploy.k8s.generate_rules import GENERATED, RULES, render
from tests.deploy.k8s.rendered import GRAFANA, SERVICES, missing_dashboards, named, of_kind, overlay, pod, pods

DASHBOARDS = ("desk", "risk", "execution", "market-data", "books", "platform")


def test_the_generated_rules_are_current():
    assert GENERATED.read_text() == render(), "run: python -m tests.deploy.k8s.generate_rules"


def test_every_rule_is_in_them_as_it_was_written():
    written = [yaml.safe_load(path.read_text()) for path in sorted(RULES.glob("*.yaml"))]
    assert written
    assert [each["spec"] for each in yaml.safe_load_all(GENERATED.read_text())] == written


def test_every_generated_object_is_what_we_know_of_its_kind():
    for each in yaml.safe_load_all(GENERATED.read_text()):
        jsonschema.validate(each, SCHEMAS["PrometheusRule"])


def test_production_has_the_rules():
    assert len(of_kind(overlay("production"), "PrometheusRule")) == len(list(RULES.glob("*.yaml")))


def test_prometheus_watches_every_service_its_standby_included():
    objects = overlay("production")
    (monitor,) = [each for each in of_kind(objects, "PodMonitor") if each["metadata"]["name"] == "tollgate"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    watched = [each for each in pods(objects) if wanted <= each.labels.items()]
    assert {each.name for each in watched} == set(SERVICES)
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["path"] == "/metrics"
    for each in watched:
        assert endpoint["port"] in {port["name"] for port in each.containers[0]["ports"]}


@pytest.mark.parametrize("name", ["production", "second-desk"])
def test_what_is_scraped_has_the_labels_by_which_alerts_ask(name: str):
    objects = overlay(name)
    (monitor,) = [each for each in of_kind(objects, "PodMonitor") if each["metadata"]["name"] == "tollgate"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    sources = {each["targetLabel"]: each["sourceLabels"] for each in endpoint["relabelings"]}
    assert sources == {
        "desk": ["__meta_kubernetes_pod_label_tollgate_desk"],
        "service": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"],
        "instance": ["__meta_kubernetes_pod_name", "__meta_kubernetes_namespace"],
    }
    desk = named(objects, "ConfigMap", "desk")["data"]["TOLLGATE_DESK"]
    for service in SERVICES:
        labels = pod(objects, service).labels
        assert (labels[monitor["spec"]["jobLabel"]], labels["tollgate-desk"]) == ("tollgate", desk), service


def test_every_dashboard_is_in_a_config_map_that_grafana_finds():
    found = {
        file.removesuffix(".json"): json.loads(text)
        for each in of_kind(overlay("production"), "ConfigMap")
        if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
        for file, text in each["data"].items()
    }
    assert found.keys() == set(DASHBOARDS)
    assert found == {name: json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text()) for name in DASHBOARDS}


def test_no_dashboard_is_left_out():
    if missing_dashboards():
        pytest.skip(f"deploy/grafana has no {', '.join(missing_dashboards())} yet")
    assert {path.stem for path in (GRAFANA / "dashboards").glob("*.json")} == set(DASHBOARDS)


def test_a_second_desk_is_watched_and_brings_no_second_copy_of_rules_and_dashboards():
    objects = overlay("second-desk")
    assert of_kind(objects, "PodMonitor")
    assert of_kind(objects, "PrometheusRule") == []
    labels = [each["metadata"].get("labels", {}) for each in of_kind(objects, "ConfigMap")]
    assert [each for each in labels if "grafana_dashboard" in each] == []
