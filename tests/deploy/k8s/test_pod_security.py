"""Every pod may run where the Pod Security Standard "restricted" is enforced, and asks for less than it allows."""

from copy import deepcopy
from typing import Any

import pytest

from tests.deploy.k8s.pod_security import violations
from tests.deploy.k8s.rendered import OVERLAYS, named, of_kind, overlay, pod, pods

IMAGE_USER = 10001
# The image's own user; nothing else is known to it.
POSTGRES_USER = 999


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pod_satisfies_the_restricted_standard(name: str):
    objects = overlay(name)
    assert {each.name: found for each in pods(objects) if (found := violations(each.spec))} == {}


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_namespace_enforces_it(name: str):
    (namespace,) = of_kind(overlay(name), "Namespace")
    modes = {f"pod-security.kubernetes.io/{mode}" for mode in ("enforce", "audit", "warn")}
    assert {namespace["metadata"]["labels"].get(mode) for mode in modes} == {"restricted"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pod_runs_as_its_image_s_user_on_a_file_system_that_it_cannot_change(name: str):
    for each in pods(overlay(name)):
        user = POSTGRES_USER if each.name == "postgres" else IMAGE_USER
        context = each.spec["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (user, user, user), each.name
        assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in each.containers), each.name


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_pod_can_speak_to_the_kubernetes_api_or_is_told_of_other_services(name: str):
    objects = overlay(name)
    for each in pods(objects):
        assert each.spec["automountServiceAccountToken"] is False, each.name
        assert each.spec["enableServiceLinks"] is False, each.name
        account = named(objects, "ServiceAccount", each.spec["serviceAccountName"])
        assert account["automountServiceAccountToken"] is False, each.name
    assert of_kind(objects, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding") == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_two_kinds_of_pods_share_an_account(name: str):
    accounts = [each.spec["serviceAccountName"] for each in pods(overlay(name))]
    assert len(accounts) == len(set(accounts))


def _container(spec: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = spec["containers"][0]
    return container


WRONG = {
    "the node's network": lambda spec: spec.update(hostNetwork=True),
    "the node's processes": lambda spec: spec.update(hostPID=True),
    "a directory of the node": lambda spec: spec["volumes"].append({"name": "node", "hostPath": {"path": "/"}}),
    "root": lambda spec: spec["securityContext"].update(runAsUser=0),
    "maybe root": lambda spec: spec["securityContext"].pop("runAsNonRoot"),
    "a container that may be root": lambda spec: _container(spec)["securityContext"].update(runAsNonRoot=False),
    "any system call": lambda spec: spec["securityContext"].pop("seccompProfile"),
    "privileges": lambda spec: _container(spec)["securityContext"].update(privileged=True),
    "more privileges later": lambda spec: _container(spec)["securityContext"].pop("allowPrivilegeEscalation"),
    "capabilities that it was given": lambda spec: _container(spec)["securityContext"].pop("capabilities"),
    "a capability more": lambda spec: _container(spec)["securityContext"]["capabilities"].update(add=["SYS_PTRACE"]),
    "a port of the node": lambda spec: _container(spec)["ports"][0].update(hostPort=8403),
    "a probe of another host": lambda spec: _container(spec)["livenessProbe"]["httpGet"].update(host="10.0.0.1"),
    "a first container that may do anything": lambda spec: spec.update(initContainers=[{"name": "first"}]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_check_notices(wrong: str):
    spec = deepcopy(pod(overlay("dev"), "risk").spec)
    assert violations(spec) == []
    WRONG[wrong](spec)
    assert violations(spec) != []
