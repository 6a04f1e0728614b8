"""The policy as the operator wrote it, checked whole before anything starts."""

import json
from pathlib import Path

from pydantic import ValidationError

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.settings import explain, read_yaml
from tollgate_contracts.config import canonical_json
from tollgate_risk.core.policy import PolicyDocument, PolicyRules
from tollgate_risk.settings import RiskSettings
from tollgate_risk.signing import Signer


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


def policy_text(settings: RiskSettings, signer: Signer) -> str:
    """Return the policy message's canonical text; raises ``BadConfiguration`` when rules and desk do not agree."""
    rules = read_rules(settings.policy_path)
    try:
        document = PolicyDocument(
            environment=settings.environment,
            desk=settings.desk,
            venue=settings.venue,
            account=settings.account,
            quote_currency=settings.quote_currency,
            symbols=settings.symbols,
            public_key=signer.public_key,
            key_id=signer.key_id,
            rules=rules,
        )
    except ValidationError as error:
        raise BadConfiguration(f"policy {settings.policy_path} is not for this desk:\n{explain(error)}") from error
    return canonical_json(document.model_dump(mode="json"))
