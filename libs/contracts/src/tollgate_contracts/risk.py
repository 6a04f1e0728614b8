"""What risk says: the policy, decisions, the mode, and the kill switch."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tollgate_contracts.approval import SignedText
from tollgate_contracts.config import CONFIG_TEXT_MAX
from tollgate_contracts.envelope import Hash, Identifier, Message, Symbol, Text, Value
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
    """Risk's answer to one intent: a signed approval, or every reason against it.

    Under an engaged kill switch risk also decides of its own accord, to cancel and to flatten.
    """

    writer: Literal["risk"] = "risk"
    kind: Literal["decision"] = "decision"
    version: Literal[3] = 3
    intent_id: Identifier
    """The intent, or the ``kill_switch`` message by which risk acts on its own."""
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

    @property
    def severity(self) -> int:
        """How much it holds back: each mode lets less through than the ones before it."""
        return list(TradingMode).index(self)


class Condition(StrEnum):
    """What moves the mode; each has its threshold in the policy, a metric and an alert."""

    POLICY = "policy"
    """The policy itself names this mode."""
    FAULT = "fault"
    """A policy that cannot be read, or a fill that cannot be booked: what the gate counts with is wrong."""
    DAILY_LOSS = "daily_loss"
    """Loss since the day began, open and closed positions together, in quote currency."""
    DRAWDOWN = "drawdown"
    """Fall from the highest equity, in basis points of it."""
    CONSECUTIVE_LOSSES = "consecutive_losses"
    """Losing round trips in a row, until the pause that the loss rules name is over."""
    FEED = "feed"
    """Milliseconds for which the feed has not been usable."""
    CLOCK_SKEW = "clock_skew"
    """Milliseconds between the venue's time of its newest quote and ours."""
    REJECTION_SPIKE = "rejection_spike"
    """Rejected intents within the window."""
    TRADE_SPIKE = "trade_spike"
    """Fills within the window."""
    VENUE_ERRORS = "venue_errors"
    """Orders that the venue rejected, or of which it did not say what became, within the window."""
    BREAKER_OPEN = "breaker_open"
    """Groups of venue calls that execution has stopped."""
    NO_FILLS = "no_fills"
    """Approved orders since the last fill, as long as any was approved within the window."""
    WIN_RATE = "win_rate"
    """Winning round trips among the last ones, in basis points; too few is what counts."""
    LEDGER_DRIFT = "ledger_drift"
    """Currencies in which books and venue differ, and perpetuals of which execution and venue do."""
    RECONCILIATION_LAG = "reconciliation_lag"
    """Milliseconds since the venue last stated the account."""


class Trigger(Value):
    """One condition behind a change of mode, with its numbers."""

    condition: Condition
    active: bool
    """Whether it has begun to hold, or has ended."""
    limit: Text
    seen: Text
    unit: Text


class Mode(Message):
    """The mode has changed."""

    writer: Literal["risk"] = "risk"
    kind: Literal["mode"] = "mode"
    version: Literal[2] = 2
    from_mode: TradingMode | None
    to_mode: TradingMode
    why: Text
    triggers: Annotated[tuple[Trigger, ...], Field(max_length=32)]
    """The conditions behind the change, in the order of ``Condition``."""


class KillLevel(StrEnum):
    """How much an engaged kill switch does; each level does what the ones before it do."""

    HALT = "HALT"
    """No new order."""
    CANCEL = "CANCEL"
    """Working orders are cancelled too."""
    FLATTEN = "FLATTEN"
    """Positions are closed too, by reducing orders that risk itself approves."""

    @property
    def rank(self) -> int:
        """How far it goes."""
        return list(KillLevel).index(self)


class KillSwitch(Message):
    """The kill switch was engaged or released; engaging raises the epoch and voids every approval before it.

    Raising the level of a switch that is engaged engages it anew, under the next epoch.
    """

    writer: Literal["risk"] = "risk"
    kind: Literal["kill_switch"] = "kill_switch"
    version: Literal[2] = 2
    engaged: bool
    level: KillLevel
    """When released: the level that was in force."""
    epoch: Annotated[int, Field(ge=0)]
    actor: Text
    reason: Text


class OperatorCall(Message):
    """Somebody called an operators' door: who, from where, what for, and what came of it."""

    writer: Literal["risk", "execution", "ledger"]
    """Whose door it was."""
    kind: Literal["operator_call"] = "operator_call"
    version: Literal[2] = 2
    token: Text
    """The name of the token that was shown; empty where none was recognised."""
    remote: Text
    """Address of the caller."""
    method: Text
    path: Text
    """With its query."""
    actor: Text
    """Who the caller says they are."""
    reason: Text
    status: Annotated[int, Field(ge=100, le=599)]
    """The HTTP status of the answer."""
    detail: Text
