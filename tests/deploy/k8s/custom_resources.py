"""What we know of the objects of two operators, as far as we use them; their own definitions say far more.

Written by hand from the API references of CloudNativePG 1.28 and of the Prometheus operator 0.8x. It finds a misspelt
key and a wrong type. It does not stand in for ``kubectl apply --dry-run=server`` on a cluster that has the operators.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
TRUTH: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 1}
SIZE: Schema = {"type": "string", "pattern": "^[0-9]+(Mi|Gi)$"}
DURATION: Schema = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"}
LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def mapping(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    """Return the schema of a mapping with these keys and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def listing(items: Schema) -> Schema:
    """Return the schema of a list that is not empty."""
    return {"type": "array", "items": items, "minItems": 1}


def one_of(*values: str) -> Schema:
    """Return the schema of one of these words."""
    return {"enum": list(values)}


def kind(api_version: str, name: str, spec: Schema) -> Schema:
    """Return the schema of an object of that kind."""
    metadata = mapping({"name": TEXT, "namespace": TEXT, "labels": LABELS, "annotations": LABELS}, ("name",))
    parts = {"apiVersion": {"const": api_version}, "kind": {"const": name}, "metadata": metadata, "spec": spec}
    return mapping(parts, tuple(parts))


_RESOURCES = mapping({"requests": LABELS, "limits": LABELS}, ("requests", "limits"))
_SERVICE = mapping(
    {
        "selectorType": one_of("rw", "r", "ro"),
        "serviceTemplate": mapping(
            {
                "metadata": mapping({"name": TEXT}, ("name",)),
                "spec": mapping({"type": one_of("ClusterIP", "LoadBalancer", "NodePort")}),
            }
        ),
    },
    ("selectorType", "serviceTemplate"),
)
_SYNCHRONOUS = mapping(
    {
        "method": one_of("any", "first"),
        "number": COUNT,
        "dataDurability": one_of("required", "preferred"),
        "failoverQuorum": TRUTH,
    },
    ("method", "number"),
)
_CLUSTER = mapping(
    {
        "instances": COUNT,
        "imageName": {"type": "string", "pattern": "^[a-z0-9./-]+:[0-9][A-Za-z0-9.-]+$"},
        "inheritedMetadata": mapping({"labels": LABELS}),
        "enableSuperuserAccess": TRUTH,
        "superuserSecret": mapping({"name": TEXT}, ("name",)),
        "bootstrap": mapping({"initdb": mapping({"encoding": TEXT, "dataChecksums": TRUTH})}),
        "postgresql": mapping({"synchronous": _SYNCHRONOUS, "parameters": LABELS}),
        "managed": mapping(
            {
                "services": mapping(
                    {"disabledDefaultServices": listing(one_of("ro", "r")), "additional": listing(_SERVICE)}
                )
            }
        ),
        "storage": mapping({"size": SIZE, "storageClass": TEXT}, ("size",)),
        "walStorage": mapping({"size": SIZE, "storageClass": TEXT}, ("size",)),
        "resources": _RESOURCES,
        "affinity": mapping(
            {
                "enablePodAntiAffinity": TRUTH,
                "podAntiAffinityType": one_of("required", "preferred"),
                "topologyKey": TEXT,
            }
        ),
    },
    ("instances", "storage"),
)
_RELABELING = mapping(
    {"sourceLabels": listing(TEXT), "separator": TEXT, "targetLabel": TEXT}, ("sourceLabels", "targetLabel")
)
_POD_MONITOR = mapping(
    {
        "jobLabel": TEXT,
        "selector": mapping({"matchLabels": LABELS}, ("matchLabels",)),
        "podMetricsEndpoints": listing(
            mapping(
                {
                    "port": TEXT,
                    "path": TEXT,
                    "interval": DURATION,
                    "scrapeTimeout": DURATION,
                    "relabelings": listing(_RELABELING),
                },
                ("port",),
            )
        ),
    },
    ("selector", "podMetricsEndpoints"),
)
_ALERT = mapping(
    {
        "alert": TEXT,
        "expr": TEXT,
        "for": DURATION,
        "keep_firing_for": DURATION,
        "labels": LABELS,
        "annotations": LABELS,
    },
    ("alert", "expr", "labels", "annotations"),
)
_RECORDING = mapping({"record": TEXT, "expr": TEXT, "labels": LABELS}, ("record", "expr"))
_RULE: Schema = {"oneOf": [_ALERT, _RECORDING]}
_PROMETHEUS_RULE = mapping(
    {"groups": listing(mapping({"name": TEXT, "interval": DURATION, "rules": listing(_RULE)}, ("name", "rules")))},
    ("groups",),
)

SCHEMAS = {
    "Cluster": kind("postgresql.cnpg.io/v1", "Cluster", _CLUSTER),
    "PodMonitor": kind("monitoring.coreos.com/v1", "PodMonitor", _POD_MONITOR),
    "PrometheusRule": kind("monitoring.coreos.com/v1", "PrometheusRule", _PROMETHEUS_RULE),
}
