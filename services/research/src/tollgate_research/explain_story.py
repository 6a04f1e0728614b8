"""What the tape tells of one order, as it is gathered record by record."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import TERMINAL_STATES, Bust, Fill, Order, Refusal
from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.risk import Decision, KillSwitch, Outcome, TradingMode
from tollgate_contracts.strategy import Action, Intent
from tollgate_domain.trip_log import Trip
from tollgate_risk.core.case import Measure
from tollgate_risk.core.policy import PolicyDocument
from tollgate_risk.core.state import Kill, MarketQuote

# An order has a dozen messages; one of many small fills has some hundred. Beyond this they are counted.
EVENTS_MAX = 500
CANCELS_MAX = 50
TRIPS_MAX = 8


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """A policy as it lies on the tape; ``document`` is null for one that could not be read."""

    sequence: int
    hash: str
    text: str
    document: PolicyDocument | None


@dataclass(frozen=True, slots=True)
class Moment:
    """What the gate knew when it judged."""

    sequence: int
    """Of the message that was judged."""
    at_us: int
    """When the broker stored it; by the message's own time where the tape has no clock."""
    ts_us: int
    measures: tuple[Measure, ...]
    """What every gate saw, in order; none where risk acted of its own accord."""
    policy: PolicyInForce | None
    mode: TradingMode | None
    mode_why: str
    """In the words of the last change of mode; empty before the first."""
    kill: Kill
    feed: FeedState | None
    fault: str | None
    quote: MarketQuote | None
    held: Decimal
    """Of the symbol, before the order."""
    now_us: int
    """The tape's time, by which ages were told."""


@dataclass(frozen=True, slots=True)
class Event:
    """One later record that is about the order."""

    sequence: int
    at_us: int
    message: Message


@dataclass(slots=True)
class Judged:
    """Something that was asked of risk, and the answer."""

    origin: Intent | KillSwitch | None
    """Null when the tape shows the decision alone."""
    moment: Moment
    computed: Decision | None = None
    """What the gate answers when it is run again over the tape."""
    decision: Decision | None = None
    """What it did answer; null where the tape ends before it."""
    decided_sequence: int = 0
    decided_us: int = 0

    @property
    def answer(self) -> Decision | None:
        """The decision on the tape, or else the one that must follow."""
        return self.decision or self.computed

    @property
    def is_as_computed(self) -> bool:
        """Whether the gate, run again, answers what it did answer; the signature is not its own to give."""
        if self.decision is None:
            return True
        return self.computed is not None and _unsigned(self.computed) == _unsigned(self.decision)

    def ids(self) -> Iterator[str]:
        """Yield the ids by which it is found."""
        if self.origin is not None:
            yield self.origin.id
        if self.answer is not None:
            yield self.answer.id


def _unsigned(decision: Decision) -> tuple[object, ...]:
    text = None if decision.approval is None else decision.approval.text
    return (decision.id, decision.intent_id, decision.outcome, decision.findings, text, decision.config_hash)


@dataclass(slots=True)
class Story:
    """One order, from the wish to what became of it."""

    client_order_id: str
    symbol: str
    judged: Judged
    cancels: list[Judged] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    trips: list[Trip] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    """Client order ids of the stops that protect what it has filled; execution places a hundred at most."""
    dropped: int = 0
    """Events and cancels beyond what is kept."""
    over: bool = False
    """Whether nothing more is expected of it."""
    pinned: bool = False
    """Whether it is an answer, and must not be forgotten."""

    @property
    def is_approved(self) -> bool:
        """Whether it became an order."""
        answer = self.judged.answer
        return answer is not None and answer.outcome is Outcome.APPROVED and answer.action is Action.SUBMIT

    def cancel(self, judged: Judged) -> None:
        """Take in a wish to cancel it."""
        if len(self.cancels) < CANCELS_MAX:
            self.cancels.append(judged)
        else:
            self.dropped += 1

    def hear(self, event: Event) -> None:
        """Take in a later record about it."""
        message = event.message
        if isinstance(message, Order) and message.protects is None:
            self.over = message.to_state in TERMINAL_STATES
        elif isinstance(message, Refusal):
            self.over = self.over or message.decision_id in self.judged.ids()
        if len(self.events) < EVENTS_MAX:
            self.events.append(event)
        else:
            self.dropped += 1

    def travel(self, trip: Trip) -> None:
        """Note the round trip to which a fill of the order belongs."""
        if all(trip is not known for known in self.trips) and len(self.trips) < TRIPS_MAX:
            self.trips.append(trip)

    @property
    def trades(self) -> list[tuple[Event, Fill]]:
        """Its own trades that stand, in order: none that was taken back, and none of a stop."""
        busted = {
            (event.message.client_order_id, event.message.trade.trade_id)
            for event in self.events
            if isinstance(event.message, Bust)
        }
        return [
            (event, event.message)
            for event in self.events
            if isinstance(event.message, Fill)
            and event.message.client_order_id == self.client_order_id
            and (event.message.client_order_id, event.message.trade.trade_id) not in busted
        ]
