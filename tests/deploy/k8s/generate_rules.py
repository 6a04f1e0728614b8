"""Write the alert rules as PrometheusRule objects: ``python -m tests.deploy.k8s.generate_rules``.

Kustomize reads no file outside of its root and knows no way to put a file's content into an object. So the objects are
generated from deploy/prometheus/rules, and a test holds that they are current.
"""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy" / "prometheus" / "rules"
GENERATED = ROOT / "deploy" / "k8s" / "components" / "monitoring" / "rules.yaml"
_HEAD = (
    "# Generated from deploy/prometheus/rules by python -m tests.deploy.k8s.generate_rules; change the rules there.\n"
)
_WIDTH = 80


def render() -> str:
    """Return one PrometheusRule for each file of rules, in the order of their names."""
    objects = [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": f"tollgate-{path.stem}"},
            "spec": yaml.safe_load(path.read_text()),
        }
        for path in sorted(RULES.glob("*.yaml"))
    ]
    return _HEAD + yaml.safe_dump_all(objects, sort_keys=False, width=_WIDTH, allow_unicode=True)


if __name__ == "__main__":
    GENERATED.write_text(render())
