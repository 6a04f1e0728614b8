"""What the gate knows, from the tape and nothing else."""

from dataclasses import dataclass, field
from decimal import Decimal

from tollgate_contracts.execution import Account
from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.money import ZERO
from tollgate_contracts.risk import TradingMode
from tollgate_domain.instruments import InstrumentRules
from tollgate_domain.portfolio import OptionalPortfolio
from tollgate_risk.core.orders import OpenOrders
from tollgate_risk.core.policy import PolicyDocument

_BPS = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class MarketQuote:
    """The last quote of one symbol; ``mark`` is its mid."""

    bid: Decimal
    ask: Decimal
    mark: Decimal
    ts_us: int
    venue_ts_us: int


@dataclass(slots=True)
class Kill:
    """The kill switch; the epoch rises each time it is engaged and never falls."""

    engaged: bool = False
    epoch: int = 0
    actor: str = ""
    reason: str = ""
    since_us: int = 0


@dataclass(slots=True)
class Pacing:
    """When orders were approved last, and how many in the clock cycle in force."""

    cycle_id: int = 0
    cycle_orders: int = 0
    cycle_reducing_orders: int = 0
    last_entry_us: int | None = None
    """When the last order that was not reducing was approved."""
    last_order_us: dict[str, int] = field(default_factory=dict)
    """By symbol, of either kind."""

    def begin_cycle(self, cycle_id: int) -> None:
        """Start counting anew."""
        if cycle_id != self.cycle_id:
            self.cycle_id = cycle_id
            self.cycle_orders = 0
            self.cycle_reducing_orders = 0

    def count(self, symbol: str, now_us: int, *, reducing: bool) -> None:
        """Count an approved order."""
        self.last_order_us[symbol] = now_us
        if reducing:
            self.cycle_reducing_orders += 1
        else:
            self.cycle_orders += 1
            self.last_entry_us = now_us


@dataclass(slots=True)
class Counts:
    """How often what was decided, since the tape began."""

    intents: int = 0
    approved: int = 0
    rejected: int = 0
    by_reason: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class RiskState:
    """The gate's whole memory; every field is a function of the tape so far."""

    now_us: int = 0
    """The highest time that any message on the tape has borne."""
    policy: PolicyDocument | None = None
    """None before the first, and after one that could not be read: the gate is then shut."""
    policy_hash: str | None = None
    policies: int = 0
    """How many policies the tape has carried."""
    mode: TradingMode | None = None
    kill: Kill = field(default_factory=Kill)
    feed: FeedState | None = None
    instruments: dict[str, InstrumentRules] = field(default_factory=dict)
    quotes: dict[str, MarketQuote] = field(default_factory=dict)
    first_account: Account | None = None
    """The account message that came before the policy, which alone says whose it must be."""
    portfolio: OptionalPortfolio = None
    """None until both the policy and an account message are known."""
    taker_fee_bps: Decimal = ZERO
    orders: OpenOrders = field(default_factory=OpenOrders)
    pacing: Pacing = field(default_factory=Pacing)
    decided: dict[str, int] = field(default_factory=dict)
    """Client order ids that were decided, in that order, each with the time until which it is remembered."""
    counts: Counts = field(default_factory=Counts)
    fault: str | None = None
    """Why the gate has shut itself, in words; cleared by the next policy."""

    def held(self, symbol: str) -> Decimal:
        """Return how much of the symbol's base currency is held."""
        return ZERO if self.portfolio is None else self.portfolio.holding(symbol).quantity

    def value(self, quantity: Decimal, symbol: str, price: Decimal = ZERO) -> Decimal:
        """Return the worst value of ``quantity``, at the mark or at ``price``, whichever is higher."""
        quote = self.quotes.get(symbol)
        return quantity * (price if quote is None else max(price, quote.mark))

    def fee_on(self, amount: Decimal) -> Decimal:
        """Return the most that trading for ``amount`` costs in fees; a rebate is not counted on."""
        return amount * max(self.taker_fee_bps, ZERO) * _BPS
