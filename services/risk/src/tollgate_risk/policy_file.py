"""The policy as the operator wrote it, checked whole before anything starts."""

from pydantic import ValidationError

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.settings import explain
from tollgate_contracts.config import canonical_json
from tollgate_risk.core.policy import PolicyDocument
from tollgate_risk.rules_file import read_rules
from tollgate_risk.settings import RiskSettings
from tollgate_risk.signing import Signer


def policy_document(settings: RiskSettings, signer: Signer) -> PolicyDocument:
    """Return the policy that file and settings make; raises ``BadConfiguration`` when rules and desk do not agree."""
    rules = read_rules(settings.policy_path)
    if settings.risk.dry_run:
        rules = rules.model_copy(update={"arming": rules.arming.model_copy(update={"dry_run": True})})
    try:
        return PolicyDocument(
            environment=settings.environment,
            desk=settings.desk,
            venue=settings.venue,
            account=settings.account,
            quote_currency=settings.quote_currency,
            symbols=settings.symbols,
            public_key=signer.public_key,
            key_id=signer.key_id,
            tightens=None,
            costs=settings.costs,
            rules=rules,
        )
    except ValidationError as error:
        raise BadConfiguration(f"policy {settings.policy_path} is not for this desk:\n{explain(error)}") from error


def canonical_text(document: PolicyDocument) -> str:
    """Return the one text of a policy: what goes onto the tape, and what its hash is of."""
    return canonical_json(document.model_dump(mode="json"))
