"""The Pod Security Standard "restricted", as a check of a pod's template. Pure: a pod's spec in, violations out.

After kubernetes.io/docs/concepts/security/pod-security-standards, for pods of Linux.
"""

from collections.abc import Iterator
from typing import Any

Spec = dict[str, Any]
_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
_HANDLERS = ("postStart", "preStop")
_SECCOMP = {"RuntimeDefault", "Localhost"}


def violations(spec: Spec) -> list[str]:
    """Return what of a pod's spec the standard forbids; empty when it may run."""
    return [*_of_pod(spec), *(line for container in _containers(spec) for line in _of_container(container, spec))]


def _containers(spec: Spec) -> list[Spec]:
    return [
        *spec.get("initContainers", []),
        *spec["containers"],
        *spec.get("ephemeralContainers", []),
    ]


def _of_pod(spec: Spec) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield key
    for volume in spec.get("volumes", []):
        for kind in volume.keys() - {"name"} - _VOLUMES:
            yield f"volume {volume['name']}: {kind}"
    context = spec.get("securityContext", {})
    yield from _of_context("pod", context)
    if context.get("sysctls"):
        yield "pod: sysctls"


def _of_container(container: Spec, spec: Spec) -> Iterator[str]:
    name, own = container["name"], container.get("securityContext", {})
    of_pod = spec.get("securityContext", {})
    yield from _of_context(name, own)
    if own.get("privileged"):
        yield f"{name}: privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: allowPrivilegeEscalation"
    if own.get("runAsNonRoot", of_pod.get("runAsNonRoot")) is not True:
        yield f"{name}: runAsNonRoot"
    if own.get("seccompProfile", of_pod.get("seccompProfile", {})).get("type") not in _SECCOMP:
        yield f"{name}: seccompProfile"
    if own.get("procMount", "Default") != "Default":
        yield f"{name}: procMount"
    yield from _of_capabilities(name, own.get("capabilities", {}))
    yield from _of_the_node(container)


def _of_capabilities(name: str, capabilities: Spec) -> Iterator[str]:
    if "ALL" not in capabilities.get("drop", []):
        yield f"{name}: capabilities.drop"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name}: capabilities.add"


def _of_the_node(container: Spec) -> Iterator[str]:
    name = container["name"]
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield f"{name}: hostPort"
    for call in _calls(container):
        if call.get("httpGet", call.get("tcpSocket", {})).get("host"):
            yield f"{name}: a probe or hook of another host"


def _of_context(name: str, context: Spec) -> Iterator[str]:
    if context.get("runAsUser") == 0:
        yield f"{name}: runAsUser"
    if context.get("appArmorProfile", {}).get("type", "RuntimeDefault") == "Unconfined":
        yield f"{name}: appArmorProfile"
    if context.get("seLinuxOptions", {}).get("user") or context.get("seLinuxOptions", {}).get("role"):
        yield f"{name}: seLinuxOptions"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield f"{name}: windowsOptions"


def _calls(container: Spec) -> list[Spec]:
    hooks = container.get("lifecycle", {})
    return [
        *(container[key] for key in _PROBES if key in container),
        *(hooks[key] for key in _HANDLERS if key in hooks),
    ]
