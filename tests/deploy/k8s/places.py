"""Whom the computation of ways knows: every pod of a desk, and whoever else is there to be kept apart from it."""

from tests.deploy.k8s.reachability import Endpoint, Port
from tests.deploy.k8s.rendered import Object, of_kind, pods

NAMESPACES = {"dev": "tollgate-dev"}
# Every port that anybody of ours listens on, and some that nobody should be able to try.
PORTS: tuple[Port, ...] = (
    *(("TCP", number) for number in (22, 53, 80, 443, 2379, 4222, 4318, 5432, 6222, 6443, 8000, 8222)),
    *(("TCP", number) for number in (8401, 8402, 8403, 8404, 8405, 8410, 9090, 9187)),
    ("UDP", 53),
)


def _elsewhere(name: str, ip: str, namespace: str, app: str, *marks: str, **labels: str) -> Endpoint:
    """Return a pod of another namespace, which has these marks."""
    own = {"kubernetes.io/metadata.name": namespace, **dict.fromkeys(marks, "true")}
    return Endpoint(name, ip, namespace, {"app.kubernetes.io/name": app, **labels}, own)


OUTSIDE = (
    _elsewhere("dns", "10.96.0.10", "kube-system", "coredns", **{"k8s-app": "kube-dns"}),
    _elsewhere("metrics server", "10.96.0.11", "kube-system", "metrics-server"),
    _elsewhere("prometheus", "10.2.0.1", "monitoring", "prometheus", "tollgate-monitoring"),
    _elsewhere("grafana", "10.2.0.2", "monitoring", "grafana", "tollgate-monitoring"),
    _elsewhere("collector", "10.2.0.3", "telemetry", "opentelemetry-collector", "tollgate-telemetry"),
    _elsewhere("another collector", "10.2.0.4", "shop", "opentelemetry-collector"),
    _elsewhere("operators", "10.2.0.5", "ingress", "gateway", "tollgate-operators"),
    _elsewhere("database operator", "10.2.0.6", "cnpg-system", "cloudnative-pg"),
    # Whoever takes our labels in a namespace of their own is nobody of ours.
    _elsewhere("stranger", "10.2.0.7", "shop", "shop"),
    _elsewhere("false risk", "10.2.0.8", "shop", "risk"),
    _elsewhere("false prometheus", "10.2.0.9", "shop", "prometheus"),
    _elsewhere("false database", "10.2.0.10", "shop", "postgres", **{"tollgate-role": "database"}),
    Endpoint("api server", "10.0.0.1"),
    Endpoint("company network", "192.168.7.7"),
    Endpoint("cloud metadata", "169.254.169.254"),
    Endpoint("venue", "203.0.113.7"),
)
PRIVATE = tuple(each.name for each in OUTSIDE if each.name not in {"cloud metadata", "venue"})
ADDRESSES = frozenset(each.name for each in OUTSIDE)


def inside(objects: tuple[Object, ...]) -> tuple[Endpoint, ...]:
    """Return one pod for each that the objects make, and for each that an operator or a person makes beside them."""
    (namespace,) = of_kind(objects, "Namespace")
    name: str = namespace["metadata"]["name"]
    of_namespace = {**namespace["metadata"]["labels"], "kubernetes.io/metadata.name": name}
    labels = {each.name: each.labels for each in pods(objects)}
    labels["console"] = {"app.kubernetes.io/name": "console"}
    # Nothing allows it anything.
    labels["unknown"] = {"app.kubernetes.io/name": "unknown"}
    for cluster in of_kind(objects, "Cluster"):
        own = cluster["metadata"]["name"]
        labels[own] = {"cnpg.io/cluster": own, **cluster["spec"]["inheritedMetadata"]["labels"]}
    return tuple(
        Endpoint(each, f"10.1.0.{number}", name, labels[each], of_namespace)
        for number, each in enumerate(sorted(labels), start=1)
    )
