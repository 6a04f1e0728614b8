"""What risk says: the policy, decisions, the mode, and the kill switch."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tollgate_contracts.approval import SignedText
from tollgate_contracts.config import CONFIG_TEXT_MAX
from tollgate_contracts.envelope import Hash, Identifier, Message, Symbol, Text
from tollgate_contracts.reasons import Finding
from tollgate_contracts.strategy import Action, ClientOrderId


class Policy(Message):
    """The whole policy in force from here on; every decision carries its hash."""

    writer: Literal["risk"] = "risk"
    kind: Literal["policy"] = "policy"
    version: Literal[1] = 1
    text: Annotated[str, Field(max_length=CONFIG_TEXT_MAX)]
    """Canonical JSON."""
    hash: Hash


class Outcome(StrEnum):
    """What risk has decided."""

    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


class Decision(Message):
    """Risk's answer to one intent: a signed approval, or every reason against it."""

    writer: Literal["risk"] = "risk"
    kind: Literal["decision"] = "decision"
    version: Literal[1] = 1
    intent_id: Identifier
    action: Action
    client_order_id: ClientOrderId
    symbol: Symbol
    outcome: Outcome
    findings: tuple[Finding, ...]
    approval: SignedText | None
    config_hash: Hash

    @model_validator(mode="after")
    def _approval_belongs_to_the_outcome(self) -> "Decision":
        approved = self.outcome is Outcome.APPROVED
        if approved != (self.approval is not None) or approved == bool(self.findings):
            raise ValueError("an approved decision has an approval and no findings; a rejected one the reverse")
        return self


class TradingMode(StrEnum):
    """How much risk lets through."""

    NORMAL = "NORMAL"
    REDUCE_ONLY = "REDUCE_ONLY"
    """Only what makes a position smaller."""
    OBSERVE_ONLY = "OBSERVE_ONLY"
    """Nothing."""


class Mode(Message):
    """The mode has changed."""

    writer: Literal["risk"] = "risk"
    kind: Literal["mode"] = "mode"
    version: Literal[1] = 1
    from_mode: TradingMode | None
    to_mode: TradingMode
    why: Text


class KillSwitch(Message):
    """The kill switch was engaged or released; engaging raises the epoch and voids every approval before it."""

    writer: Literal["risk"] = "risk"
    kind: Literal["kill_switch"] = "kill_switch"
    version: Literal[1] = 1
    engaged: bool
    epoch: Annotated[int, Field(ge=0)]
    actor: Text
    reason: Text
