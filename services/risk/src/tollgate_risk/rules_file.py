"""The operator's rules as a file has them: read without a desk, a key or a setting, by risk and by what compares."""

import json
from pathlib import Path

from pydantic import ValidationError

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.settings import explain, read_yaml
from tollgate_risk.core.policy import PolicyRules


def read_rules(path: Path) -> PolicyRules:
    """Return the rules in a YAML file; raises ``BadConfiguration`` that names every key, its value and what is wrong.

    Amounts are quoted strings: a bare number would have been a float before it is a decimal.
    """
    content = read_yaml(path)
    try:
        # By way of JSON text, where a strict model takes lists and names of modes, and a float is still a number.
        return PolicyRules.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise BadConfiguration(f"policy {path}:\n{explain(error)}") from error
