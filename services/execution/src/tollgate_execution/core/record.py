"""What execution knows of one order: an immutable record, so that evidence can be weighed without taking it."""

import hashlib
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Self

from tollgate_contracts.approval import Approval, SignedText
from tollgate_contracts.execution import TERMINAL_STATES, OrderState, VenueTrade
from tollgate_contracts.money import ZERO, plain
from tollgate_contracts.reasons import Reason
from tollgate_execution.core.fee_rates import FeeRate
from tollgate_execution.core.orders import UNSETTLED_STATES
from tollgate_execution.core.placing import Placing

# Of one order so many differences are said; a venue that finds more to contradict itself in is not worth the tape.
NOTED_MAX = 64


@dataclass(frozen=True, slots=True)
class Booked:
    """One trade that was booked."""

    trade: VenueTrade
    attempt: int
    sequence: int = 0
    """Where on the tape its fill stands, by which others learn of it; 0 until it was read back."""
    fee_rate: FeeRate | None = None
    """What its fee was worth, where it was not in the quote currency: a bust must say the same."""


@dataclass(frozen=True, slots=True)
class Busted:
    """One trade that the venue has taken back."""

    trade_id: str
    quantity: Decimal
    """Zero while the trade itself has not been seen."""


@dataclass(frozen=True, slots=True)
class CancelWish:
    """That the order is to be cancelled."""

    why: Reason | None
    """Why execution wants it of its own accord; none where risk has approved it."""
    until_us: int | None
    """Until when it may be asked for; none for what execution wants itself."""
    refused: bool = False
    """The venue would not take the cancel, so that an order still open is simply open."""

    def holds(self, now_us: int) -> bool:
        """Say whether the venue may still be asked."""
        return not self.refused and (self.until_us is None or now_us < self.until_us)


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """One order; quantities in base currency, quote amounts in quote currency, times on the tape's clock."""

    decision_id: str
    signed: SignedText
    approval: Approval
    placing: Placing
    """What was asked of the venue last."""
    state: OrderState
    since_us: int
    """When it entered its state."""
    look_us: int
    """When it is looked at next: probed, or forgotten."""
    placed_us: int
    """When it was first handed to the venue; of one that waits, when it was approved."""
    protects: str | None = None
    """Of a protective order, the order whose fills it protects."""
    waits_for: str | None = None
    """The order that it replaces, while that one is not over."""
    replaces_since: int = 0
    """What the replaced order filled after this sequence of the tape is taken off this one."""
    venue_order_id: str | None = None
    acknowledged: bool = False
    """The venue has shown that it has, or had, this attempt."""
    shown_us: int = 0
    """When the venue has first shown it."""
    sends: int = 1
    """How often this attempt was handed to the shell."""
    doubted_us: int = 0
    """When it was given up to wait for the answer to the last send; 0 while that is not so."""
    booked: Decimal = ZERO
    booked_quote: Decimal = ZERO
    said: Decimal = ZERO
    """The largest cumulative quantity that the venue has named, those of earlier attempts counted in."""
    trades: tuple[Booked, ...] = ()
    """Each trade booked, in order."""
    busted: tuple[Busted, ...] = ()
    """Each trade taken back, in order; none of them is booked again."""
    claimed: OrderState | None = None
    """The end that the venue has named, while trades may still be missing."""
    claim_is_counted: bool = False
    """Whether the venue named the cumulative quantity together with the end."""
    before_cancel: OrderState | None = None
    cancel: CancelWish | None = None
    late: bool = False
    """The venue shows it open after it was over here: it is being cancelled, and watched until it is gone."""
    probes: int = 0
    noted: tuple[str, ...] = ()
    """Differences that were already said."""
    reopened: bool = False
    """Taken back from the journal after it was over and forgotten: what is booked of it is not known any more, so that
    only the venue's list of fills is heard."""

    @property
    def client_order_id(self) -> str:
        """Return the id by which we know the order, whatever the attempt."""
        return self.placing.client_order_id

    @property
    def quantity(self) -> Decimal:
        """Return how much it is to fill at most."""
        return self.placing.quantity

    @property
    def is_over(self) -> bool:
        """Say whether the state is terminal."""
        return self.state in TERMINAL_STATES

    @property
    def is_gone(self) -> bool:
        """Say whether nothing of it is live at the venue, and every trade of it is booked."""
        return self.is_over and not self.is_unsettled

    @property
    def send_is_settled(self) -> bool:
        """Say whether it is known what became of the send."""
        return self.acknowledged or self.is_over

    @property
    def carried(self) -> Decimal:
        """Return what is booked of earlier attempts: the venue's count of this one does not have it."""
        if self.placing.attempt == 1:
            return ZERO
        return sum((each.trade.quantity for each in self.trades if each.attempt < self.placing.attempt), ZERO)

    @property
    def busted_quantity(self) -> Decimal:
        """Return how much was taken back: a venue may count it as filled or not."""
        return sum((each.quantity for each in self.busted), ZERO)

    @property
    def misses_trades(self) -> bool:
        """Say whether the venue counts more than the trades that we have, or has named an end we could not take."""
        return self.said > self.booked + self.busted_quantity or self.claimed is not None

    @property
    def is_unsettled(self) -> bool:
        """Say whether something about the order is not known that the venue can tell."""
        return self.state in UNSETTLED_STATES or self.misses_trades or self.late

    def with_fill(self, trade_id: str, sequence: int) -> Self:
        """Return the record that knows where on the tape the fill of a trade stands."""
        trades = (replace(each, sequence=sequence) if each.trade.trade_id == trade_id else each for each in self.trades)
        return replace(self, trades=tuple(trades))

    def with_fee_rate(self, trade_id: str, fee_rate: FeeRate | None) -> Self:
        """Return the record that knows what the fee of a trade was worth."""
        if fee_rate is None:
            return self
        trades = (replace(each, fee_rate=fee_rate) if each.trade.trade_id == trade_id else each for each in self.trades)
        return replace(self, trades=tuple(trades))

    def fee_rate_of(self, trade_id: str) -> FeeRate | None:
        """Return what the fee of a booked trade was worth."""
        return next((each.fee_rate for each in self.trades if each.trade.trade_id == trade_id), None)

    def working_state(self) -> OrderState:
        """Return the working state that the booked quantity implies."""
        return OrderState.PARTIALLY_FILLED if self.booked else OrderState.ACKNOWLEDGED

    def has_said(self, key: str) -> bool:
        """Say whether ``key`` is not to be said, because it was, or because too much was."""
        return key in self.noted or len(self.noted) >= NOTED_MAX

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
        "placing": record.placing.to_json(),
        "state": record.state.value,
        "since_us": record.since_us,
        "look_us": record.look_us,
        "placed_us": record.placed_us,
        "protects": record.protects,
        "waits_for": record.waits_for,
        "replaces_since": record.replaces_since,
        "venue_order_id": record.venue_order_id,
        "acknowledged": record.acknowledged,
        "shown_us": record.shown_us,
        "sends": record.sends,
        "doubted_us": record.doubted_us,
        "booked": plain(record.booked),
        "booked_quote": plain(record.booked_quote),
        "said": plain(record.said),
        "trades": [_booked_to_json(each) for each in record.trades],
        "busted": [[each.trade_id, plain(each.quantity)] for each in record.busted],
        "claimed": record.claimed and record.claimed.value,
        "claim_is_counted": record.claim_is_counted,
        "before_cancel": record.before_cancel and record.before_cancel.value,
        "cancel": record.cancel and [record.cancel.why, record.cancel.until_us, record.cancel.refused],
        "late": record.late,
        "probes": record.probes,
        "noted": list(record.noted),
        "reopened": record.reopened,
    }


def record_from_json(state: dict[str, Any]) -> OrderRecord:
    """Take back what ``record_to_json`` returned."""
    signed = SignedText.model_validate(state["signed"])
    return OrderRecord(
        decision_id=state["decision_id"],
        signed=signed,
        approval=Approval.model_validate_json(signed.text),
        placing=Placing.from_json(state["placing"]),
        state=OrderState(state["state"]),
        since_us=state["since_us"],
        look_us=state["look_us"],
        placed_us=state["placed_us"],
        protects=state["protects"],
        waits_for=state["waits_for"],
        replaces_since=state["replaces_since"],
        venue_order_id=state["venue_order_id"],
        acknowledged=state["acknowledged"],
        shown_us=state["shown_us"],
        sends=state["sends"],
        doubted_us=state["doubted_us"],
        booked=Decimal(state["booked"]),
        booked_quote=Decimal(state["booked_quote"]),
        said=Decimal(state["said"]),
        trades=tuple(_booked_from_json(*booked) for booked in state["trades"]),
        busted=tuple(Busted(trade_id, Decimal(quantity)) for trade_id, quantity in state["busted"]),
        claimed=OrderState(state["claimed"]) if state["claimed"] else None,
        claim_is_counted=state["claim_is_counted"],
        before_cancel=OrderState(state["before_cancel"]) if state["before_cancel"] else None,
        cancel=_wish_from_json(state["cancel"]),
        late=state["late"],
        probes=state["probes"],
        noted=tuple(state["noted"]),
        reopened=state["reopened"],
    )


def _booked_to_json(booked: Booked) -> list[Any]:
    fee_rate = booked.fee_rate and [plain(booked.fee_rate.rate), booked.fee_rate.source]
    return [booked.trade.model_dump_json(), booked.attempt, booked.sequence, fee_rate]


def _booked_from_json(trade: str, attempt: int, sequence: int, fee_rate: list[str] | None) -> Booked:
    known = None if fee_rate is None else FeeRate(Decimal(fee_rate[0]), fee_rate[1])
    return Booked(VenueTrade.model_validate_json(trade), attempt, sequence, known)


def _wish_from_json(state: list[Any] | None) -> CancelWish | None:
    if state is None:
        return None
    why, until_us, refused = state
    return CancelWish(Reason(why) if why else None, until_us, refused)
