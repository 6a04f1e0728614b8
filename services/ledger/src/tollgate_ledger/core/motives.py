"""Why an order was placed, and at which price it was decided; told again with its fills, and with its round trip.

An intent is remembered from when it was asked for until some hundred orders after its own has ended: a trade may come
late. What risk does of its own accord, under the kill switch, has no intent and is told by its decision. A protective
stop has the reasons of the order that it protects; it was decided at its trigger.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tollgate_contracts.execution import TERMINAL_STATES, Order, Refusal
from tollgate_contracts.money import Exact
from tollgate_contracts.risk import Decision, Outcome
from tollgate_contracts.strategy import Action, Intent

# A trade that comes after so many other orders have ended is told without its reasons.
ENDED_MAX = 128
# The gate lets far fewer orders be open at once; this is what the memory comes to if their ends are never told.
KNOWN_MAX = 512

PROTECTION = "PROTECTION"
FLATTEN = "FLATTEN"


@dataclass(frozen=True, slots=True)
class Motive:
    """Why one order was placed; null where nobody has said."""

    purpose: str
    """One of the purposes of an intent, or ``PROTECTION``, or ``FLATTEN``."""
    signal: str | None
    regime: str | None
    tier: str | None
    strength: Exact | None
    confidence: Exact | None
    strategy: str | None
    cycle_id: int
    reference_price: Exact | None
    reference_source: str | None
    protection: Exact | None
    """The trigger of the stop that is to protect what it fills."""


@dataclass(frozen=True, slots=True)
class Mid:
    """The middle of a symbol's last quote, and where on the tape that lies."""

    price: Exact
    sequence: int

    @property
    def source(self) -> str:
        """Say where it was read."""
        return f"quote:{self.sequence}"


@dataclass(slots=True)
class _Known:
    """One order; ``place`` keeps them in the order in which they became known or have ended."""

    motive: Motive
    intent_id: str
    place: int
    ended: bool = False


@dataclass(slots=True)
class Motives:
    """What is remembered of orders that may still trade, by client order id."""

    known: dict[str, _Known] = field(default_factory=dict)
    places: int = 0

    def of(self, client_order_id: str) -> Motive | None:
        """Return why the order was placed; none where that is not known."""
        known = self.known.get(client_order_id)
        return None if known is None else known.motive

    def ask(self, intent: Intent, mid: Mid | None) -> None:
        """Remember what a strategy asks for, decided at ``mid``; an id that is known is a repetition, and refused."""
        if intent.action is not Action.SUBMIT or intent.client_order_id in self.known:
            return
        why = intent.rationale
        motive = Motive(
            purpose=intent.purpose.value,
            signal=why.signal,
            regime=why.regime,
            tier=why.tier,
            strength=why.strength,
            confidence=why.confidence,
            strategy=intent.strategy,
            cycle_id=intent.cycle_id,
            reference_price=None if mid is None else mid.price,
            reference_source=None if mid is None else mid.source,
            protection=None if intent.protection is None else intent.protection.trigger_price,
        )
        self._remember(intent.client_order_id, motive, intent.id)

    def decide(self, decision: Decision, mid: Mid | None) -> None:
        """Forget what is refused, and remember what risk has decided of its own accord, at ``mid``."""
        known = self.known.get(decision.client_order_id)
        if decision.outcome is Outcome.REJECTED:
            if known is not None and known.intent_id == decision.intent_id:
                del self.known[decision.client_order_id]
        elif known is None and decision.action is Action.SUBMIT:
            motive = _silent(FLATTEN, decision.cycle_id)
            if mid is not None:
                motive = replace(motive, reference_price=mid.price, reference_source=mid.source)
            self._remember(decision.client_order_id, motive, decision.intent_id)

    def follow(self, sequence: int, order: Order) -> None:
        """Take in a state of an order: a stop becomes known by its own, and what has ended is kept only for a while."""
        if order.protects is not None and order.trigger_price is not None:
            protected = self.of(order.protects) or _silent(PROTECTION, order.cycle_id)
            motive = replace(
                protected,
                purpose=PROTECTION,
                reference_price=order.trigger_price,
                reference_source=f"trigger:{sequence}",
                protection=None,
            )
            known = self.known.get(order.client_order_id)
            if known is None:
                self._remember(order.client_order_id, motive, order.intent_id)
            elif known.motive.reference_price != order.trigger_price:
                known.motive = motive
        known = self.known.get(order.client_order_id)
        if order.to_state in TERMINAL_STATES:
            self._end(order.client_order_id)
        elif known is not None:
            known.ended = False

    def refuse(self, refusal: Refusal) -> None:
        """Take in that execution would not act; of a refused cancel the order's next state says that it is open."""
        self._end(refusal.client_order_id)

    def _remember(self, client_order_id: str, motive: Motive, intent_id: str) -> None:
        self.places += 1
        self.known[client_order_id] = _Known(motive, intent_id, self.places)
        if len(self.known) > KNOWN_MAX:
            del self.known[next(iter(self.known))]

    def _end(self, client_order_id: str) -> None:
        known = self.known.pop(client_order_id, None)
        if known is None:
            return
        # Last among those that have ended, so that the one which ended first makes room first.
        self.places += 1
        known.place, known.ended = self.places, True
        self.known[client_order_id] = known
        ended = list(self._ended())
        if len(ended) > ENDED_MAX:
            del self.known[ended[0]]

    def _ended(self) -> Iterator[str]:
        return (client_order_id for client_order_id, known in self.known.items() if known.ended)

    def in_order(self) -> None:
        """Bring what was restored into the order in which it was remembered, which a database does not keep."""
        self.known = dict(sorted(self.known.items(), key=lambda item: item[1].place))


def _silent(purpose: str, cycle_id: int) -> Motive:
    return Motive(purpose, None, None, None, None, None, None, cycle_id, None, None, None)
