"""What the rounds of reconciliation have established: up to where the venue is read, and whether its sums are ours.

The law of this module: balances and fills reach the tape by different ways, so one comparison that differs proves
nothing. The venue's word is judged only while nothing is in flight and only where it is not older than the newest
trade booked; a difference is one when so many statements in a row show it with the same sign, and a trade or a
movement that turns out to be older than the statement just judged takes that judgement back. Each difference is
said once, and once more when it has gone: nothing is repaired for ever. No trade is ever inferred from a balance.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import (
    Bust,
    Fill,
    Liquidity,
    OrderState,
    Report,
    ReportSource,
    VenueTrade,
)
from tollgate_contracts.money import ZERO, Exact, divide, plain
from tollgate_contracts.reconciliation import Account, Difference, Movement, Repair, Sync
from tollgate_domain.instruments import notional
from tollgate_domain.portfolio import COST_PLACES, Portfolio
from tollgate_execution.core.parameters import SyncRules
from tollgate_execution.core.record import OrderRecord
from tollgate_execution.core.trades import Note

# Rounds come every few seconds: more trades than these between two of them are beyond any venue's limits. They are
# forgotten two rounds after they were booked, when the venue's list of fills has been read past them.
TRADES_MAX = 5_000
# The cursor keeps what was read from being read again, but for the last page before a crash.
MOVEMENTS_MAX = 2_000
_BPS = Decimal(10_000)
_MUST_LOOK = "fills and movements do not explain it; an operator must look (tollgate resolve --drift)"


@dataclass(slots=True)
class _Watch:
    """One currency or position: the sign of the last difference, how often in a row, and the sign that was said."""

    sign: int = 0
    count: int = 0
    said: int = 0
    off: Exact = ZERO
    """The venue's less ours, as last judged, and less what has moved since."""


@dataclass(slots=True)
class _Fees:
    """The fees of the trades since the last round, against the tier that the venue has stated; in quote currency."""

    paid: Decimal = ZERO
    expected: Decimal = ZERO
    tolerated: Decimal = ZERO
    trades: int = 0

    def add(self, trade: VenueTrade, fee: Decimal, bps: Decimal, tolerance_bps: Decimal) -> None:
        value = notional(trade.price, trade.quantity)
        self.paid += fee
        self.expected += divide(value * bps, _BPS, COST_PLACES)
        self.tolerated += divide(value * tolerance_bps, _BPS, COST_PLACES)
        self.trades += 1

    @property
    def drift(self) -> bool:
        return abs(self.paid - self.expected) > self.tolerated


class OpenDrift(NamedTuple):
    """How much more than expected the venue has of a currency, and by its statement of when."""

    off: Decimal
    as_of_us: int


class Agreement:
    """Whether the venue and the tape agree, as far as rounds and account statements have shown."""

    def __init__(self) -> None:
        self.fill_cursor = ""
        """Up to here the venue's fills are read; the last ``sync`` on the tape says so."""
        self.movement_cursor = ""
        self.began_us = 0
        """When the last round that is on the tape began; 0 before there was one."""
        self._rounds = 0
        self._watches: dict[str, _Watch] = {}
        self._unheld: dict[str, Decimal] = {}
        """What the venue opened with in currencies that the portfolio does not hold as cash or position."""
        self._traded_us = 0
        self._compared_us = 0
        self._moved: dict[str, None] = {}
        self._trades: dict[str, int] = {}
        """Trades booked of late, each with the number of the round before it."""
        self._tier: tuple[Decimal, Decimal] | None = None
        self._fees = _Fees()
        self._fees_said = False

    @property
    def drifting(self) -> tuple[str, ...]:
        """The currencies and symbols in which a drift was said and has not gone, sorted."""
        return tuple(sorted(name for name, watch in self._watches.items() if watch.said))

    @property
    def differences(self) -> dict[str, Decimal]:
        """The currencies of which a drift was said and has not gone, sorted, and by how much the venue has more."""
        said = {name: watch.off for name, watch in sorted(self._watches.items()) if watch.said}
        return {name: off for name, off in said.items() if not _is_symbol(name)}

    @property
    def compared_us(self) -> int:
        """The venue's time of the newest statement that was judged."""
        return self._compared_us

    @property
    def suspects(self) -> bool:
        """Say whether the last statement differed, so that the next one is wanted soon."""
        return any(watch.sign != watch.said for watch in self._watches.values())

    def has_booked(self, symbol: str, trade_id: str) -> bool:
        """Say whether a trade was booked of late, even if its order is forgotten already."""
        return f"{symbol} {trade_id}" in self._trades

    def follow(self, cause: Message, said: Sequence[Message], rules: SyncRules) -> list[Note]:
        """Take note of the trades that a step has booked or undone; returns those that nothing had told us of."""
        notes = []
        for output in said:
            if isinstance(output, Fill):
                self._book(output, cause.ts_us, rules)
                if _was_missed(cause, output.trade, rules):
                    trade_id = output.trade.trade_id
                    differed = f"trade {trade_id} of {output.client_order_id} was in no answer and no frame"
                    detail = "booked from the venue's list of fills"
                    notes.append(Note(trade_id, Difference.MISSED_FILL, differed, Repair.BOOKED, detail))
            elif isinstance(output, Bust):
                # The account changes when the trade is taken back, and not when it was made.
                names = [*output.symbol.split("-"), output.trade.fee_currency]
                self._money_moved(min(cause.ts_us, self._compared_us), names)
        return notes

    def _book(self, fill: Fill, now_us: int, rules: SyncRules) -> None:
        trade = fill.trade
        # A venue that stamps a trade with a time to come would blind the comparison until then.
        self._money_moved(min(trade.venue_ts_us, now_us), [*fill.symbol.split("-"), fill.symbol, trade.fee_currency])
        self._trades[f"{fill.symbol} {trade.trade_id}"] = self._rounds
        if len(self._trades) > TRADES_MAX:
            del self._trades[next(iter(self._trades))]
        base, quote = fill.symbol.split("-")
        # In a third currency a venue charges by a rate of its own, and often less.
        if self._tier is not None and trade.fee_currency in {base, quote}:
            maker_bps, taker_bps = self._tier
            bps = maker_bps if trade.liquidity is Liquidity.MAKER else taker_bps
            fee = trade.fee if trade.fee_currency == quote else notional(trade.price, trade.fee)
            self._fees.add(trade, fee, bps, rules.fee_tolerance_bps)

    def _money_moved(self, at_us: int, names: Iterable[str]) -> None:
        self._traded_us = max(self._traded_us, at_us)
        if at_us > self._compared_us:
            return
        for name in names:
            if name in self._watches:
                self._watches[name].count = 0

    def is_judged(self, currency: str, rules: SyncRules) -> bool:
        """Say whether enough statements in a row have shown a currency's drift since any evidence that is older."""
        watch = self._watches.get(currency)
        return watch is not None and watch.count >= rules.statements

    def has_moved(self, movement_id: str) -> bool:
        """Say whether a movement was taken in of late."""
        return movement_id in self._moved

    def is_news(self, movement: Movement, portfolio: Portfolio | None) -> bool:
        """Say whether a movement would change anything: not one that is in the opening balances, nor one again."""
        opened = portfolio is not None and portfolio.opened and movement.venue_ts_us > portfolio.opened_us
        return opened and movement.movement_id not in self._moved

    def move(self, movement: Movement, portfolio: Portfolio) -> None:
        """Take in money that came or went without an order."""
        self._moved[movement.movement_id] = None
        if len(self._moved) > MOVEMENTS_MAX:
            del self._moved[next(iter(self._moved))]
        portfolio.move(movement)
        if movement.currency in self._watches:
            self._watches[movement.currency].off -= movement.amount
        self._money_moved(min(movement.venue_ts_us, movement.ts_us), (movement.currency,))

    def open(self, account: Account, portfolio: Portfolio) -> None:
        """Take the opening balances of what the portfolio does not hold itself."""
        ours = _held(portfolio)
        for currency, amount in _stated(account).items():
            rest = amount - ours.get(currency, ZERO)
            if rest:
                self._unheld[currency] = rest

    def compare(self, account: Account, portfolio: Portfolio, *, in_flight: bool, rules: SyncRules) -> list[Note]:
        """Hold a statement against what is expected, and return the drifts that begin or end with it, by name."""
        self._tier = (account.maker_fee_bps, account.taker_fee_bps)
        if in_flight or account.venue_ts_us < self._traded_us:
            return []
        self._compared_us = max(self._compared_us, account.venue_ts_us)
        held, stated = _held(portfolio), _stated(account)
        expected = {name: self._expect(name, held, portfolio) for name in (*held, *self._unheld, *stated)}
        notes = self._judge(Difference.BALANCE_DRIFT, expected, stated, rules)
        ours = {symbol: held.quantity for symbol, held in portfolio.holdings().items() if held.perpetual}
        theirs = {position.symbol: position.quantity for position in account.positions}
        return [*notes, *self._judge(Difference.POSITION_DRIFT, ours, theirs, rules)]

    def _expect(self, currency: str, held: dict[str, Decimal], portfolio: Portfolio) -> Decimal:
        beside = ZERO if currency == portfolio.quote_currency else portfolio.beside(currency)
        return held.get(currency, ZERO) + self._unheld.get(currency, ZERO) + beside

    def _judge(
        self,
        difference: Difference,
        expected: dict[str, Decimal],
        stated: dict[str, Decimal],
        rules: SyncRules,
    ) -> list[Note]:
        notes = []
        # What differed and is named by nobody any more agrees.
        of_positions = difference is Difference.POSITION_DRIFT
        watched = [name for name in self._watches if _is_symbol(name) is of_positions]
        for name in sorted({*expected, *stated, *watched}):
            ours, theirs = expected.get(name, ZERO), stated.get(name, ZERO)
            watch = self._watches.setdefault(name, _Watch())
            off = theirs - ours
            sign = 0 if abs(off) <= rules.dust.get(name, ZERO) else (1 if off > ZERO else -1)
            watch.count = watch.count + 1 if sign == watch.sign else 1
            watch.sign, watch.off = sign, off
            if sign == watch.said or (sign and watch.count < rules.statements):
                continue
            watch.said = sign
            differed = f"the venue states {plain(theirs)} {name}, {plain(ours)} is expected"
            ended = (Repair.IGNORED, "they agree again")
            repair, detail = (Repair.FLAGGED, _MUST_LOOK) if sign else ended
            notes.append(Note(name, difference, differed, repair, detail))
        # What agrees and was not said to differ is as if it had never been looked at.
        self._watches = {name: watch for name, watch in self._watches.items() if watch.sign or watch.said}
        return notes

    def close_round(self, sync: Sync) -> list[Note]:
        """Take a whole round as read: its cursors are ours from here on; returns what its fees differ by."""
        self.fill_cursor, self.movement_cursor = sync.fill_cursor, sync.movement_cursor
        self.began_us = max(self.began_us, sync.began_us)
        self._rounds += 1
        # Booked before the round before this one began: the list of fills has been read past it.
        self._trades = {key: number for key, number in self._trades.items() if number >= self._rounds - 1}
        fees, self._fees = self._fees, _Fees()
        if not fees.trades or fees.drift is self._fees_said:
            return []
        self._fees_said = fees.drift
        differed = f"fees of {plain(fees.paid)} on {fees.trades} trade(s), {plain(fees.expected)} by the stated tier"
        booked = "booked as the venue charges them; its fee tier is to be looked at"
        repair, detail = (Repair.BOOKED, booked) if fees.drift else (Repair.IGNORED, "they agree again")
        return [Note("fees", Difference.FEE_DRIFT, differed, repair, detail)]

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "fill_cursor": self.fill_cursor,
            "movement_cursor": self.movement_cursor,
            "began_us": self.began_us,
            "rounds": self._rounds,
            "watches": {
                name: {**asdict(watch), "off": plain(watch.off)} for name, watch in sorted(self._watches.items())
            },
            "unheld": {currency: plain(amount) for currency, amount in sorted(self._unheld.items())},
            "traded_us": self._traded_us,
            "compared_us": self._compared_us,
            "moved": list(self._moved),
            "trades": dict(self._trades),
            "tier": self._tier and [plain(bps) for bps in self._tier],
            "fees": [plain(self._fees.paid), plain(self._fees.expected), plain(self._fees.tolerated)],
            "fee_trades": self._fees.trades,
            "fees_said": self._fees_said,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        self.fill_cursor, self.movement_cursor = state["fill_cursor"], state["movement_cursor"]
        self.began_us, self._rounds = state["began_us"], state["rounds"]
        self._watches = {
            name: _Watch(**{**watch, "off": Decimal(watch["off"])}) for name, watch in state["watches"].items()
        }
        self._unheld = {currency: Decimal(amount) for currency, amount in state["unheld"].items()}
        self._traded_us, self._compared_us = state["traded_us"], state["compared_us"]
        self._moved = dict.fromkeys(state["moved"])
        self._trades = dict(state["trades"])
        tier = state["tier"]
        self._tier = (Decimal(tier[0]), Decimal(tier[1])) if tier else None
        paid, expected, tolerated = map(Decimal, state["fees"])
        self._fees = _Fees(paid, expected, tolerated, state["fee_trades"])
        self._fees_said = state["fees_said"]


def stale(record: OrderRecord, began_us: int, rules: SyncRules) -> tuple[OrderRecord, Note] | None:
    """Return the record and what is to be said where nothing was heard of a submit or a cancel for too long."""
    waits = record.state in {OrderState.SUBMITTING, OrderState.CANCELLING}
    key = _stale_key(record)
    if not waits or record.since_us + rules.stale_after_us > began_us or record.has_said(key):
        return None
    differed = f"{record.state.value} for {(began_us - record.since_us) // 1_000} ms without a word of the venue"
    note = Note(record.client_order_id, Difference.STALE_PENDING, differed, Repair.ASKED, "its evidence decides")
    return record.with_note(key), note


def _stale_key(record: OrderRecord) -> str:
    return f"stale:{record.state.value}"


def unexplained(records: Iterable[OrderRecord], agreement: Agreement) -> int:
    """Count what differs and is not explained yet: orders of unknown outcome, stale ones, missing trades, drifts."""
    unknown = sum(
        record.state is OrderState.UNKNOWN
        or record.misses_trades
        or record.late
        or (record.is_unsettled and _stale_key(record) in record.noted)
        for record in records
    )
    return unknown + len(agreement.drifting)


def _was_missed(cause: Message, trade: VenueTrade, rules: SyncRules) -> bool:
    """Say whether a trade came by the list of fills alone; one just made may still be on its way by another."""
    by_list = isinstance(cause, Report) and cause.source is ReportSource.FILLS
    return by_list and cause.ts_us - trade.venue_ts_us > rules.missed_after_us


def _is_symbol(name: str) -> bool:
    # A symbol has a dash, and no currency has.
    return "-" in name


def _held(portfolio: Portfolio) -> dict[str, Decimal]:
    """Return what the portfolio holds by currency: its cash, and its spot positions."""
    held = {portfolio.quote_currency: portfolio.cash}
    for symbol, holding in portfolio.holdings().items():
        base, quote = symbol.split("-")
        if not holding.perpetual and quote == portfolio.quote_currency:
            held[base] = held.get(base, ZERO) + holding.quantity
    return held


def _stated(account: Account) -> dict[str, Decimal]:
    return {balance.currency: balance.free + balance.locked for balance in account.balances}
