"""What the gate knows, from the tape and nothing else."""

from dataclasses import dataclass, field
from decimal import Decimal

from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.money import ZERO, round_ceiling
from tollgate_contracts.reconciliation import Account
from tollgate_contracts.risk import KillLevel, TradingMode
from tollgate_domain.instruments import InstrumentRules
from tollgate_domain.portfolio import OptionalPortfolio
from tollgate_risk.core.activity import Activity
from tollgate_risk.core.caution import Caution
from tollgate_risk.core.closing import Closing
from tollgate_risk.core.exposure import DerivedBook, Exposure, ExposureBook
from tollgate_risk.core.orders import OpenOrders
from tollgate_risk.core.pacing import Pacing
from tollgate_risk.core.policy import PolicyDocument
from tollgate_risk.core.reconciliation import Reconciliation
from tollgate_risk.core.results import Results

_BPS = Decimal("0.0001")
_FEE_GRID_BPS = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class MarketQuote:
    """The last quote of one symbol; ``mark`` is its mid."""

    bid: Decimal
    ask: Decimal
    mark: Decimal
    ts_us: int
    venue_ts_us: int


@dataclass(frozen=True, slots=True)
class NextFunding:
    """The next funding payment of a perpetual, as a part of its notional; longs pay where the rate is above zero."""

    rate: Decimal
    due_us: int


@dataclass(slots=True)
class Kill:
    """The kill switch; the epoch rises each time it is engaged and never falls."""

    engaged: bool = False
    level: KillLevel = KillLevel.HALT
    epoch: int = 0
    message_id: str = ""
    """Of the message that engaged it: what risk then does of its own accord names it."""
    actor: str = ""
    reason: str = ""
    since_us: int = 0
    sequence: int = 0
    """Where on the tape it was last engaged or released."""


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
    caution: Caution = field(default_factory=Caution)
    """Why the mode is what it is."""
    kill: Kill = field(default_factory=Kill)
    closing: Closing = field(default_factory=Closing)
    feed: FeedState | None = None
    instruments: dict[str, InstrumentRules] = field(default_factory=dict)
    quotes: dict[str, MarketQuote] = field(default_factory=dict)
    fundings: dict[str, NextFunding] = field(default_factory=dict)
    first_account: Account | None = None
    """The account message that came before the policy, which alone says whose it must be."""
    portfolio: OptionalPortfolio = None
    """None until both the policy and an account message are known."""
    maker_fee_bps: Decimal = ZERO
    taker_fee_bps: Decimal = ZERO
    """Both as the venue has stated them last."""
    fee_bps: Decimal = ZERO
    """The most that trading costs in fees: the model's tier for what the venue states, and never less than that."""
    orders: OpenOrders = field(default_factory=OpenOrders)
    exposures: DerivedBook = field(default_factory=ExposureBook)
    """What is at risk; derived, and not part of a snapshot."""
    pacing: Pacing = field(default_factory=Pacing)
    results: Results = field(default_factory=Results)
    activity: Activity = field(default_factory=Activity)
    reconciliation: Reconciliation = field(default_factory=Reconciliation)
    decided: dict[str, int] = field(default_factory=dict)
    """Client order ids that were decided, in that order, each with the time until which it is remembered."""
    counts: Counts = field(default_factory=Counts)
    fault: str | None = None
    """Why the gate has shut itself, in words; cleared by the next policy."""

    def held(self, symbol: str) -> Decimal:
        """Return how much of the symbol's base currency is held; below zero for a short."""
        return ZERO if self.portfolio is None else self.portfolio.holding(symbol).quantity

    def cost(self, symbol: str) -> Decimal:
        """Return what the holding has cost, in quote currency, fees excluded; below zero for a short."""
        return ZERO if self.portfolio is None else self.portfolio.holding(symbol).cost

    def is_perpetual(self, symbol: str) -> bool:
        """Say whether the symbol is traded on margin; before its metadata is known, whether it is so held."""
        instrument = self.instruments.get(symbol)
        if instrument is not None:
            return instrument.margin is not None
        return self.portfolio is not None and self.portfolio.holding(symbol).perpetual

    def exposure(self, symbol: str) -> Exposure:
        """Return what is at risk in one symbol."""
        return self.exposures.of(self, symbol)

    def exposure_in_all(self) -> Exposure:
        """Return what is at risk in all symbols."""
        return self.exposures.total(self)

    def unmarked(self) -> set[str]:
        """Return the symbols at risk that were never quoted."""
        return self.exposures.unmarked_of(self)

    @property
    def treasury(self) -> Decimal:
        """What of the cash belongs to the treasury, in quote currency."""
        return self.results.capital.treasury

    def equity(self) -> Decimal | None:
        """Return cash and holdings at their marks, in quote currency; none before all of it is known."""
        if self.portfolio is None or self.unmarked():
            return None
        return self.portfolio.cash + self.exposure_in_all().equity

    def fee_on(self, amount: Decimal) -> Decimal:
        """Return the most that trading for ``amount`` costs in fees; a rebate is not counted on."""
        return amount * self.fee_bps * _BPS

    def slippage_on(self, symbol: str, amount: Decimal) -> Decimal:
        """Return what taking ``amount`` is expected to cost besides the fee: half the spread, and slippage."""
        taking_bps = ZERO if self.policy is None else self.policy.costs.taking_bps(symbol)
        return amount * round_ceiling(taking_bps, _FEE_GRID_BPS) * _BPS

    def reckon_fees(self) -> None:
        """Work out what trading costs in fees, after policy or statement have changed."""
        if self.policy is not None:
            highest = self.policy.costs.fee_bps_at_most(self.maker_fee_bps, self.taker_fee_bps)
            # Rounded up, so that fees on the largest order a message can carry still fit the exact context.
            self.fee_bps = round_ceiling(highest, _FEE_GRID_BPS)
