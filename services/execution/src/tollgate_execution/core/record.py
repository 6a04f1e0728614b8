"""What execution knows of one order: an immutable record, so that evidence can be weighed without taking it."""

import hashlib
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Self

from tollgate_contracts.approval import Approval, SignedText
from tollgate_contracts.execution import TERMINAL_STATES, OrderState, VenueTrade
from tollgate_contracts.money import ZERO, plain
from tollgate_execution.core.orders import UNSETTLED_STATES


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """One order; quantities in base currency, quote amounts in quote currency, times on the tape's clock."""

    decision_id: str
    signed: SignedText
    approval: Approval
    state: OrderState
    since_us: int
    """When it entered its state."""
    look_us: int
    """When it is looked at next: probed, or forgotten."""
    venue_order_id: str | None = None
    acknowledged: bool = False
    """The venue has shown that it has, or had, this order."""
    booked: Decimal = ZERO
    booked_quote: Decimal = ZERO
    said: Decimal = ZERO
    """The largest cumulative quantity that the venue has named."""
    trades: tuple[tuple[str, str], ...] = ()
    """Trade id and content hash of each trade seen, in order of booking."""
    claimed: OrderState | None = None
    """The end that the venue has named, while trades may still be missing."""
    claim_is_counted: bool = False
    """Whether the venue named the cumulative quantity together with the end."""
    before_cancel: OrderState | None = None
    cancel_expires_us: int = 0
    cancel_refused: bool = False
    """The venue would not take the cancel, so that an order still open is simply open."""
    probes: int = 0
    noted: tuple[str, ...] = ()
    """Differences that were already said."""

    @property
    def client_order_id(self) -> str:
        """Return the id by which we and the venue know the order."""
        return self.approval.client_order_id

    @property
    def is_over(self) -> bool:
        """Say whether the state is terminal."""
        return self.state in TERMINAL_STATES

    @property
    def send_is_settled(self) -> bool:
        """Say whether it is known what became of the send."""
        return self.acknowledged or self.is_over

    @property
    def misses_trades(self) -> bool:
        """Say whether the venue counts more than the trades that we have, or has named an end we could not take."""
        return self.said > self.booked or self.claimed is not None

    @property
    def is_unsettled(self) -> bool:
        """Say whether something about the order is not known that the venue can tell."""
        return self.state in UNSETTLED_STATES or self.misses_trades

    def working_state(self) -> OrderState:
        """Return the working state that the booked quantity implies."""
        return OrderState.PARTIALLY_FILLED if self.booked else OrderState.ACKNOWLEDGED

    def with_note(self, key: str) -> Self:
        """Return the record that remembers having said ``key``."""
        return replace(self, noted=(*self.noted, key))


def text_hash(text: str) -> str:
    """Return the SHA-256 of ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()


def trade_hash(trade: VenueTrade) -> str:
    """Return what tells two trades of one id apart; 16 hexadecimal digits."""
    return text_hash(trade.model_dump_json())[:16]


def record_to_json(record: OrderRecord) -> dict[str, Any]:
    """Return the record as JSON-ready values."""
    return {
        "decision_id": record.decision_id,
        "signed": record.signed.model_dump(),
        "state": record.state.value,
        "since_us": record.since_us,
        "look_us": record.look_us,
        "venue_order_id": record.venue_order_id,
        "acknowledged": record.acknowledged,
        "booked": plain(record.booked),
        "booked_quote": plain(record.booked_quote),
        "said": plain(record.said),
        "trades": [list(trade) for trade in record.trades],
        "claimed": record.claimed and record.claimed.value,
        "claim_is_counted": record.claim_is_counted,
        "before_cancel": record.before_cancel and record.before_cancel.value,
        "cancel_expires_us": record.cancel_expires_us,
        "cancel_refused": record.cancel_refused,
        "probes": record.probes,
        "noted": list(record.noted),
    }


def record_from_json(state: dict[str, Any]) -> OrderRecord:
    """Take back what ``record_to_json`` returned."""
    signed = SignedText.model_validate(state["signed"])
    return OrderRecord(
        decision_id=state["decision_id"],
        signed=signed,
        approval=Approval.model_validate_json(signed.text),
        state=OrderState(state["state"]),
        since_us=state["since_us"],
        look_us=state["look_us"],
        venue_order_id=state["venue_order_id"],
        acknowledged=state["acknowledged"],
        booked=Decimal(state["booked"]),
        booked_quote=Decimal(state["booked_quote"]),
        said=Decimal(state["said"]),
        trades=tuple((trade_id, content) for trade_id, content in state["trades"]),
        claimed=OrderState(state["claimed"]) if state["claimed"] else None,
        claim_is_counted=state["claim_is_counted"],
        before_cancel=OrderState(state["before_cancel"]) if state["before_cancel"] else None,
        cancel_expires_us=state["cancel_expires_us"],
        cancel_refused=state["cancel_refused"],
        probes=state["probes"],
        noted=tuple(state["noted"]),
    )
