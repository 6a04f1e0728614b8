"""What others than risk must know of a policy: whose account it binds, and what of a profit is the treasury's.

All else in its text is risk's own, and read by risk alone.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from tollgate_contracts.config import config_hash
from tollgate_contracts.envelope import Identifier
from tollgate_contracts.money import NonNegative
from tollgate_contracts.risk import Policy


class _CashRules(BaseModel):
    treasury_share_bps: Annotated[NonNegative, Field(le=10_000)]


class _Rules(BaseModel):
    cash: _CashRules


class PolicyTerms(BaseModel):
    """The part of a policy's text that is read here."""

    version: Literal[3] = 3
    """As risk knows it: what risk does not take must not open the books."""
    venue: Identifier
    account: Identifier
    rules: _Rules

    @property
    def treasury_share_bps(self) -> NonNegative:
        """What of a profit goes to the treasury, from 0 to 10,000."""
        return self.rules.cash.treasury_share_bps


def terms_of(policy: Policy) -> PolicyTerms | None:
    """Return the terms of a policy; none where its text does not name them, or is not the one that was hashed."""
    if config_hash(policy.text) != policy.hash:
        return None
    try:
        return PolicyTerms.model_validate_json(policy.text)
    except ValidationError:
        return None
