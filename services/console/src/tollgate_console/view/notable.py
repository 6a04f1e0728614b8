"""What of the tape is worth a line to an operator, and its words. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Bust, Fill, Order, OrderState, Refusal
from tollgate_contracts.ledger import Drift
from tollgate_contracts.marketdata import Feed, FeedState
from tollgate_contracts.money import plain
from tollgate_contracts.reconciliation import Movement, Reconcile
from tollgate_contracts.risk import Decision, KillSwitch, Mode, Outcome, Policy
from tollgate_contracts.safety import Breaker, BreakerState, SafeMode
from tollgate_contracts.strategy import Action, Intent


class Tone(StrEnum):
    """How a line should strike the eye."""

    PLAIN = "plain"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Line:
    """One notable event; ``ts_us`` is the tape's time."""

    ts_us: int
    what: str
    text: str
    tone: Tone = Tone.PLAIN


# The venue has said no, or nothing.
_BAD_STATES = frozenset({OrderState.REJECTED, OrderState.UNKNOWN})


def notable(message: Message) -> Line | None:
    """Return the line for ``message``, none when it is one of the many that an operator need not read."""
    words = _trading_words(message) or _control_words(message) or _execution_words(message)
    if words is None:
        return None
    text, tone = words
    return Line(message.ts_us, message.kind, text, tone)


def _trading_words(message: Message) -> tuple[str, Tone] | None:
    match message:
        case Intent(action=Action.SUBMIT):
            price = "market" if message.limit_price is None else plain(message.limit_price)
            why = f"{message.rationale.signal} {plain(message.rationale.strength)} bps"
            return f"{message.side} {plain(message.quantity)} {message.symbol} at {price}: {why}", Tone.PLAIN
        case Intent():
            return f"cancel {message.symbol} {message.client_order_id}", Tone.PLAIN
        case Decision(outcome=Outcome.APPROVED):
            return f"approved {message.symbol} {message.client_order_id}", Tone.GOOD
        case Decision():
            reasons = ", ".join(f"{one.code} ({one.seen} {one.unit}, limit {one.limit})" for one in message.findings)
            return f"rejected {message.symbol}: {reasons}", Tone.WARNING
        case Order():
            why = f": {message.reason or message.detail}" if message.reason or message.detail else ""
            tone = Tone.BAD if message.to_state in _BAD_STATES else Tone.PLAIN
            what = message.symbol if message.protects is None else f"stop in {message.symbol}"
            return f"{what} {message.from_state} → {message.to_state}{why}", tone
        case Fill():
            trade = message.trade
            bought = "bought" if message.side == "BUY" else "sold"
            return (
                f"{bought} {plain(trade.quantity)} {message.symbol} at {plain(trade.price)}, "
                f"fee {plain(trade.fee)} {trade.fee_currency} ({trade.liquidity})"
            ), Tone.GOOD
        case Bust():
            trade = message.trade
            text = f"the venue has taken back {message.side} {plain(trade.quantity)} {message.symbol} at "
            return f"{text}{plain(trade.price)} (trade {trade.trade_id})", Tone.BAD
        case Movement():
            return f"{message.movement}: {plain(message.amount)} {message.currency}", Tone.PLAIN
    return None


def _control_words(message: Message) -> tuple[str, Tone] | None:
    match message:
        case KillSwitch(engaged=True):
            return f"ENGAGED by {message.actor}: {message.reason} (epoch {message.epoch})", Tone.BAD
        case KillSwitch():
            return f"released by {message.actor}: {message.reason} (epoch {message.epoch})", Tone.WARNING
        case Mode():
            return f"{message.from_mode or 'none'} → {message.to_mode}: {message.why}", Tone.WARNING
        case Policy():
            return f"in force: {message.hash[:12]}", Tone.PLAIN
        case Feed():
            well = message.state in {FeedState.UP, FeedState.RECOVERED}
            return f"{message.state} by {message.transport}: {message.detail}", Tone.GOOD if well else Tone.BAD
        case Drift():
            well = not message.difference
            text = f"{message.currency}: venue minus books is {plain(message.difference)}"
            return text, Tone.GOOD if well else Tone.BAD
    return None


def _execution_words(message: Message) -> tuple[str, Tone] | None:
    match message:
        case Refusal():
            return f"{message.client_order_id}: {', '.join(message.codes)} {message.detail}", Tone.BAD
        case Reconcile():
            return f"{message.subject}: {message.differed}; {message.repair.value.lower()}", Tone.WARNING
        case SafeMode(engaged=True):
            return f"ENGAGED: {message.detail}", Tone.BAD
        case SafeMode():
            return "released", Tone.GOOD
        case Breaker():
            well = message.to_state is BreakerState.CLOSED
            what = f"{message.group} {message.from_state} → {message.to_state}: {message.detail}"
            return what, Tone.GOOD if well else Tone.BAD
    return None
