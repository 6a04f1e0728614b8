"""The state machine of the books: steps the tape, books what moved money, and says what the books are worth.

It is opened by the very statement, and at the very place of the tape, by which risk opens its portfolio (``opening``).
It knows nothing until its own config message is on the tape; what opens it and what moves money before that waits in
its order (``waiting``), so the books do not depend on which service started first. What moved money is booked once, by
the trade's own id; what cannot be booked as it is raises an alarm and is left out, and the comparison with the venue
shows the difference. A quote moves marks and equity, and nothing else.
"""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tollgate_contracts.config import Config
from tollgate_contracts.core import NOTHING, Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Bust, Fill, Order
from tollgate_contracts.ledger import Books, Correction, Drift
from tollgate_contracts.marketdata import Clock, Quote
from tollgate_contracts.money import ZERO, plain
from tollgate_contracts.reconciliation import Account, Movement
from tollgate_contracts.risk import Policy
from tollgate_domain.fees import lacks_rate
from tollgate_domain.movements import NOTHING_CARRIED
from tollgate_domain.policy_terms import terms_of
from tollgate_domain.portfolio import Portfolio
from tollgate_ledger.core.bookkeeping import Bookkeeper, taken_for, value_of
from tollgate_ledger.core.drift import DriftWatch
from tollgate_ledger.core.guards import Already, Known, judge, judge_movement
from tollgate_ledger.core.journal import (
    Alarm,
    AlarmReason,
    EntryKind,
    fits,
    held,
    movement_postings,
    opening_postings,
    split_postings,
    trade_postings,
)
from tollgate_ledger.core.opening import Opening, Statement
from tollgate_ledger.core.parameters import Parameters, parameters_of
from tollgate_ledger.core.reply import Reply
from tollgate_ledger.core.statement import books_fields, books_status
from tollgate_ledger.core.trade_log import BooksView, TradeLog
from tollgate_ledger.core.trades import OTHERS_MAX, TRADES_MAX, Trades
from tollgate_ledger.core.valuation import Moment, Valuation
from tollgate_ledger.core.waiting import Held, Waiting, Waits

_SNAPSHOT_FORMAT = 5
# Of so many protective stops it is remembered what they protect; a desk has as many at once as it has positions.
_STOPS_MAX = 512


class LedgerCore:
    """Double-entry books over one tape; a step's effects are ``JournalEntry`` and ``Alarm``, in order."""

    def __init__(self, trades_max: int = TRADES_MAX, others_max: int = OTHERS_MAX) -> None:
        """Of so many trades, and of busts and of movements so many each, it is remembered that they are booked."""
        self.sequence = 0
        """The last sequence that was stepped; what is not after it is ignored."""
        self.config_hash = ""
        """Hash of the configuration in force; empty before the first."""
        self.alarms: Counter[str] = Counter()
        """Alarms raised so far, by reason."""
        self._parameters: Parameters | None = None
        self._portfolio = Portfolio("")
        self._valuation = Valuation()
        self._drift = DriftWatch()
        self._trades = Trades(trades_max, others_max)
        self._trade_log = TradeLog()
        self._books = Bookkeeper()
        self._opening = Opening()
        self._waiting = Waiting()
        self._protects: dict[str, str] = {}
        """By client order id of a protective stop, the order whose fills it protects."""
        self._now_us = 0
        """Tape time, which is the clock's."""
        self._said: tuple[Decimal, tuple[str, ...], int] | None = None
        """Equity, stale marks and time of the last books."""
        self._handlers: dict[type[Message], Callable[[int, Any, Reply], None]] = {
            Config: self._on_config,
            Policy: self._on_policy,
            Account: self._on_account,
            Order: self._on_order,
            Fill: self._on_trade,
            Bust: self._on_trade,
            Movement: self._on_movement,
            Quote: self._on_quote,
            Clock: self._on_clock,
            Correction: self._on_correction,
        }

    def step(self, sequence: int, message: Message) -> Step:
        """Apply the message at ``sequence`` and say what follows; a sequence that was stepped is ignored."""
        if sequence <= self.sequence:
            return NOTHING
        self.sequence = sequence
        reply = Reply(sequence, message)
        reply.effects += self._trade_log.follow(sequence, message, self._view())
        if isinstance(message, Clock):
            self._now_us = max(self._now_us, message.ts_us)
        handler = self._handlers.get(type(message))
        if self._parameters is None and isinstance(message, Waits):
            self._waiting.add(Held(sequence, message, self._trade_log.marks))
        elif handler is not None:
            handler(sequence, message, reply)
        if reply.booked:
            self._say_books(sequence, message, reply)
        return Step(tuple(reply.outputs), tuple(reply.effects)) if reply.outputs or reply.effects else NOTHING

    @property
    def entries(self) -> int:
        """Entries booked so far; the last entry's number."""
        return self._books.entries

    @property
    def opened(self) -> bool:
        """Whether a statement of the account has opened the books."""
        return self._portfolio.opened

    def is_corrected(self, entry: int) -> bool:
        """Say whether an entry was taken back of late."""
        return self._books.is_corrected(entry)

    @property
    def balances(self) -> dict[tuple[str, str], Decimal]:
        """The trial balance: by account code and currency, the sum of all postings; zeros left out."""
        return self._books.balances.all()

    def _on_config(self, sequence: int, config: Config, reply: Reply) -> None:
        if config.writer != "ledger":
            return
        parameters = parameters_of(config)
        if isinstance(parameters, str):
            self._raise_alarm(AlarmReason.CONFIG_INVALID, sequence, config, parameters, reply)
            return
        first = self._parameters is None
        if not first and parameters.quote_currency != self._portfolio.quote_currency:
            detail = f"{parameters.quote_currency}, the books are in {self._portfolio.quote_currency}"
            self._raise_alarm(AlarmReason.CONFIG_OTHER_CURRENCY, sequence, config, detail, reply)
            return
        self._parameters, self.config_hash = parameters, config.hash
        if first:
            self._portfolio = Portfolio(parameters.quote_currency)
            for held_at, message, marks in self._waiting.take_up():
                reply.marks = marks
                self._handlers[type(message)](held_at, message, reply)

    def _on_policy(self, sequence: int, policy: Policy, reply: Reply) -> None:
        terms = terms_of(policy)
        self._open(self._opening.govern(terms), reply)
        if terms is not None:
            self._trade_log.govern(terms.treasury_share_bps)
            self._look(sequence, reply)

    def _on_account(self, sequence: int, account: Account, reply: Reply) -> None:
        if not self._portfolio.opened:
            self._open(self._opening.state(Statement(sequence, account)), reply)
            self._look(sequence, reply)
        elif self._parameters is not None and not self._opening.is_of_another(account):
            for difference in self._drift.compare(self._books.balances.assets(), account, self._parameters):
                reply.say(
                    Drift,
                    currency=difference.currency,
                    books=difference.books,
                    venue=difference.venue,
                    difference=ZERO if difference.ended else difference.venue - difference.books,
                )

    def _open(self, statement: Statement | None, reply: Reply) -> None:
        if statement is None or self._parameters is None:
            return
        sequence, account = statement
        perpetuals = [position.symbol for position in account.positions if position.quantity]
        if perpetuals:
            detail = f"positions in {', '.join(perpetuals)}; the books stay closed until there is none"
            self._raise_alarm(AlarmReason.PERPETUAL, sequence, account, detail, reply)
            return
        unfit = [currency for currency, amount in sorted(held(account).items()) if not fits(amount)]
        if unfit:
            detail = f"balances of {', '.join(unfit)}; the books stay closed until an account message fits"
            self._raise_alarm(AlarmReason.UNREPRESENTABLE, sequence, account, detail, reply)
            return
        self._portfolio.open(account, self._parameters.symbols)
        self._books.venue = account.venue
        self._valuation.opened(self._portfolio)
        self._trade_log.opened(self._view())
        postings = opening_postings(account)
        if postings:
            self._books.book(EntryKind.OPENING, sequence, account, postings, reply)
        reply.booked = True

    def _look(self, sequence: int, reply: Reply) -> None:
        self._trade_log.look(sequence, self._view(), reply.marks)

    def _on_order(self, _sequence: int, order: Order, _reply: Reply) -> None:
        if order.protects is not None:
            self._protects[order.client_order_id] = order.protects
            if len(self._protects) > _STOPS_MAX:
                del self._protects[next(iter(self._protects))]

    def _on_trade(self, sequence: int, message: Fill | Bust, reply: Reply) -> None:
        if self._parameters is None:
            return
        trade = message.trade
        verdict = judge(message, self._known)
        if isinstance(verdict, Already):
            return
        if verdict is not None:
            if verdict is AlarmReason.OVERSOLD and isinstance(message, Fill):
                self._trades.refuse(message)
            detail = f"{message.symbol} trade {trade.trade_id}: {message.side} {trade.model_dump_json()}"
            self._raise_alarm(verdict, sequence, message, detail, reply)
            return
        ids = {
            "symbol": message.symbol,
            "trade_id": trade.trade_id,
            "client_order_id": message.client_order_id,
            "config_hash": message.config_hash,
        }
        is_bust, equity = isinstance(message, Bust), self._valuation.equity
        booking = self._portfolio.undo(message) if isinstance(message, Bust) else self._portfolio.apply(message)
        self._books.balances.charge(message)
        self._trades.remember(message)
        self._drift.traded(message)
        self._valuation.transferred(booking.brought_in)
        self._valuation.update(self._portfolio)
        self._books.book(
            EntryKind.BUST if is_bust else EntryKind.FILL,
            sequence,
            message,
            trade_postings(message, booking),
            reply,
            **ids,
            protects=self._protects.get(message.client_order_id),
            fee_rate=message.fee_rate,
            fee_rate_source=message.fee_rate_source or None,
        )
        if lacks_rate(message):
            detail = f"{message.symbol} trade {trade.trade_id}: {plain(trade.fee)} {trade.fee_currency} is in suspense"
            self._raise_alarm(AlarmReason.FEE_CURRENCY, sequence, message, detail, reply)
        treasury, costs, venue = self._trade_log.treasury, self._parameters.costs, self._books.venue
        reply.effects += self._trade_log.booked(sequence, message, booking, equity, self._view(), venue, costs)
        self._split(sequence, message, self._trade_log.treasury - treasury, reply, **ids)
        self._look(sequence, reply)
        reply.booked = True

    def _on_movement(self, sequence: int, movement: Movement, reply: Reply) -> None:
        self._opening.outdate()
        verdict = judge_movement(movement, self._known)
        if isinstance(verdict, Already) or self._opening.is_of_another(movement):
            return
        if verdict is not None:
            detail = f"{movement.movement} {movement.movement_id}: {plain(movement.amount)} {movement.currency}"
            self._raise_alarm(verdict, sequence, movement, detail, reply)
            return
        equity, carried = self._valuation.equity, self._portfolio.move(movement) or NOTHING_CARRIED
        self._trades.remember(movement)
        self._drift.traded(movement)
        self._valuation.transferred(self._trade_log.transferred(movement, carried))
        self._valuation.update(self._portfolio)
        postings = movement_postings(movement, carried)
        if postings:
            symbol = movement.symbol or carried.symbol or None
            ids: dict[str, Any] = {"symbol": symbol, "movement_id": movement.movement_id}
            if carried.symbol and movement.rate is not None:
                ids |= {"fee_rate": movement.rate, "fee_rate_source": movement.rate_source}
            self._books.book(EntryKind.MOVEMENT, sequence, movement, postings, reply, **ids)
        if self._portfolio.lacks_rate(movement):
            detail = f"{movement.movement_id}: {plain(movement.amount)} {movement.currency} lie beside the position"
            self._raise_alarm(AlarmReason.MOVEMENT_RATE, sequence, movement, detail, reply)
        treasury = self._trade_log.treasury
        reply.effects += self._trade_log.moved(sequence, movement, carried, equity, self._view(), self._books.venue)
        self._split(sequence, movement, self._trade_log.treasury - treasury, reply)
        self._look(sequence, reply)
        reply.booked = True

    def _split(self, sequence: int, message: Message, share: Decimal, reply: Reply, **ids: Any) -> None:
        if share:
            postings = split_postings(self._portfolio.quote_currency, share)
            self._books.book(EntryKind.SPLIT, sequence, message, postings, reply, **ids)

    @property
    def _known(self) -> Known:
        return Known(self._portfolio, self._trades, self._books.balances)

    def _view(self) -> BooksView:
        return BooksView(self._portfolio, self._valuation)

    def _on_correction(self, sequence: int, correction: Correction, reply: Reply) -> None:
        if self._books.is_corrected(correction.entry):
            return
        why_not = self._books.refuse_correction(correction)
        if why_not is not None:
            self._raise_alarm(AlarmReason.CORRECTION_REFUSED, sequence, correction, why_not, reply)
            return
        self._books.correct(sequence, correction, reply)
        value = value_of(correction, self._portfolio.quote_currency)
        self._trade_log.renamed(taken_for(correction), correction.booked_as, value)
        reply.booked = True

    def _on_quote(self, _sequence: int, quote: Quote, _reply: Reply) -> None:
        self._valuation.mark(quote)
        if self._portfolio.opened:
            self._valuation.update(self._portfolio)

    def _on_clock(self, sequence: int, clock: Clock, reply: Reply) -> None:
        self._look(sequence, reply)
        if self._parameters is None or self._said is None:
            return
        equity, stale, said_us = self._said
        is_due = clock.ts_us >= said_us + self._parameters.books_interval_ms * 1_000
        is_news = equity != self._valuation.equity or stale != self._valuation.stale(self._portfolio, self._moment())
        if is_due and is_news:
            self._say_books(sequence, clock, reply)

    def _moment(self) -> Moment:
        stale_ms = 0 if self._parameters is None else self._parameters.mark_stale_ms
        return Moment(self._now_us, stale_ms * 1_000)

    def _say_books(self, sequence: int, cause: Message, reply: Reply) -> None:
        if self._parameters is None:
            return
        valuation, portfolio = self._valuation, self._portfolio
        each = valuation.unrealized(portfolio)
        self._said = (valuation.equity, valuation.stale(portfolio, self._moment()), cause.ts_us)
        amounts = (valuation.equity, valuation.peak, valuation.drawdown, sum(each, ZERO))
        if not all(map(fits, (*amounts, *each))):
            self._raise_alarm(AlarmReason.UNREPRESENTABLE, sequence, cause, f"equity {valuation.equity}", reply)
            return
        fields = books_fields(portfolio, valuation, self._books.balances, self._moment())
        costs, config = self._parameters.costs.fingerprint, self.config_hash
        reply.say(Books, as_of=sequence, **fields, cost_model=costs, config_hash=config)
        reply.effects.append(self._trade_log.point(sequence, cause.ts_us, self._view()))

    def _raise_alarm(self, reason: AlarmReason, sequence: int, message: Message, detail: str, reply: Reply) -> None:
        self.alarms[reason.value] += 1
        reply.effects.append(Alarm(reason, sequence, message.id, detail))

    def status(self) -> dict[str, Any]:
        """Return what an operator asks of the books, decimals as plain strings."""
        return {
            **books_status(self._portfolio, self._valuation, self._books.balances, self._moment()),
            "entries": self.entries,
            "drifting": list(self._drift.drifting),
            "alarms": {reason: self.alarms[reason] for reason in sorted(self.alarms)},
            "config_hash": self.config_hash,
        }

    @property
    def worth(self) -> tuple[Decimal, Decimal]:
        """Equity and drawdown, in quote currency."""
        return self._valuation.equity, self._valuation.drawdown

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as JSON-ready values; decimals as plain strings."""
        return {
            "format": _SNAPSHOT_FORMAT,
            "sequence": self.sequence,
            "config": [self.config_hash, self._parameters.text()] if self._parameters else None,
            "portfolio": {"quote_currency": self._portfolio.quote_currency, **self._portfolio.snapshot()},
            "valuation": self._valuation.snapshot(),
            "drift": self._drift.snapshot(),
            "trades": self._trades.snapshot(),
            "trade_log": self._trade_log.snapshot(),
            "protects": [list(pair) for pair in self._protects.items()],
            "opening": self._opening.snapshot(),
            "waiting": self._waiting.snapshot(),
            "now_us": self._now_us,
            "said": [plain(self._said[0]), list(self._said[1]), self._said[2]] if self._said else None,
            **self._books.snapshot(),
            "alarms": dict(self.alarms),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned; raises ``ValueError`` for another format."""
        if state["format"] != _SNAPSHOT_FORMAT:
            raise ValueError(f"the ledger's snapshot has format {state['format']}, expected {_SNAPSHOT_FORMAT}")
        self.sequence = state["sequence"]
        if state["config"]:
            self.config_hash, text = state["config"]
            self._parameters = Parameters.model_validate_json(text)
        portfolio = dict(state["portfolio"])
        self._portfolio = Portfolio(portfolio.pop("quote_currency"))
        self._portfolio.restore(portfolio)
        self._valuation.restore(state["valuation"])
        self._drift.restore(state["drift"])
        self._trades.restore(state["trades"])
        self._trade_log.restore(state["trade_log"])
        self._opening.restore(state["opening"])
        self._waiting.restore(state["waiting"])
        self._protects = dict(state["protects"])
        self._now_us = state["now_us"]
        said = state["said"]
        self._said = (Decimal(said[0]), tuple(said[1]), said[2]) if said else None
        self._books.restore(state)
        self.alarms = Counter(state["alarms"])
