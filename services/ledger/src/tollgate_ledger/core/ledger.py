"""The state machine of the books: steps the tape, books what moved money, and says what the books are worth.

It knows nothing until its own config message is on the tape; the opening account and what moves money before it
are kept in order and booked then, so the books do not depend on which service started first. What moved money is
booked once, by the trade's own id; what cannot be booked as it is raises an alarm and is left out, and the
comparison with the venue shows the difference. A quote moves marks and equity, and nothing else.
"""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from tollgate_contracts.codec import decode, encode
from tollgate_contracts.config import Config, config_hash
from tollgate_contracts.core import NOTHING, Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Bust, Fill, Order
from tollgate_contracts.ledger import Books, Cash, Drift
from tollgate_contracts.marketdata import Clock, Quote
from tollgate_contracts.money import ZERO, plain
from tollgate_contracts.reconciliation import Account, Movement
from tollgate_domain.portfolio import Portfolio
from tollgate_ledger.core.drift import DriftWatch
from tollgate_ledger.core.guards import Already, judge, judge_movement
from tollgate_ledger.core.journal import (
    Alarm,
    AlarmReason,
    EntryKind,
    JournalEntry,
    Posting,
    asset,
    fits,
    held,
    is_transfer,
    movement_postings,
    opening_postings,
    trade_postings,
)
from tollgate_ledger.core.parameters import Parameters
from tollgate_ledger.core.trades import Trades
from tollgate_ledger.core.valuation import Valuation

_SNAPSHOT_FORMAT = 2
# Of so many protective stops it is remembered what they protect; a desk has as many at once as it has positions.
_STOPS_MAX = 512

Moving = Account | Fill | Bust | Movement
"""What moves money, and must wait for the configuration in its order."""


class _Reply:
    """What one step answers, as it comes together."""

    def __init__(self, sequence: int, cause: Message) -> None:
        self.outputs: list[Message] = []
        self.effects: list[JournalEntry | Alarm] = []
        self.booked = False
        self._sequence = sequence
        self._cause = cause

    def say(self, kind: type[Books] | type[Drift], **fields: Any) -> None:
        self.outputs.append(kind.caused_by(self._cause, self._sequence, len(self.outputs), **fields))


class LedgerCore:
    """Double-entry books over one tape; a step's effects are ``JournalEntry`` and ``Alarm``, in order."""

    def __init__(self) -> None:
        self.sequence = 0
        """The last sequence that was stepped; what is not after it is ignored."""
        self.config_hash = ""
        """Hash of the configuration in force; empty before the first."""
        self.entries = 0
        """Entries booked so far; the last entry's number."""
        self.alarms: Counter[str] = Counter()
        """Alarms raised so far, by reason."""
        self._parameters: Parameters | None = None
        self._portfolio = Portfolio("")
        self._valuation = Valuation()
        self._drift = DriftWatch()
        self._trades = Trades()
        self._balances: dict[tuple[str, str], Decimal] = {}
        self._waiting: list[tuple[int, Moving]] = []
        self._protects: dict[str, str] = {}
        """By client order id of a protective stop, the order whose fills it protects."""
        self._said: tuple[Decimal, int] | None = None
        self._handlers: dict[type[Message], Callable[[int, Any, _Reply], None]] = {
            Config: self._on_config,
            Account: self._on_account,
            Order: self._on_order,
            Fill: self._on_trade,
            Bust: self._on_trade,
            Movement: self._on_movement,
            Quote: self._on_quote,
            Clock: self._on_clock,
        }

    def step(self, sequence: int, message: Message) -> Step:
        """Apply the message at ``sequence`` and say what follows; a sequence that was stepped is ignored."""
        if sequence <= self.sequence:
            return NOTHING
        self.sequence = sequence
        handler = self._handlers.get(type(message))
        if handler is None:
            return NOTHING
        reply = _Reply(sequence, message)
        handler(sequence, message, reply)
        if reply.booked:
            self._say_books(sequence, message, reply)
        return Step(tuple(reply.outputs), tuple(reply.effects)) if reply.outputs or reply.effects else NOTHING

    @property
    def opened(self) -> bool:
        """Whether an account message has opened the books."""
        return self._portfolio.opened

    @property
    def balances(self) -> dict[tuple[str, str], Decimal]:
        """The trial balance: by account code and currency, the sum of all postings; zeros left out."""
        return {key: amount for key, amount in sorted(self._balances.items()) if amount}

    def _on_config(self, sequence: int, config: Config, reply: _Reply) -> None:
        if config.writer != "ledger":
            return
        try:
            parameters = Parameters.model_validate_json(config.text)
        except ValidationError as error:
            self._raise_alarm(AlarmReason.CONFIG_INVALID, sequence, config, str(error)[:500], reply)
            return
        if config_hash(config.text) != config.hash:
            detail = f"the text's hash is {config_hash(config.text)}, the message says {config.hash}"
            self._raise_alarm(AlarmReason.CONFIG_INVALID, sequence, config, detail, reply)
            return
        first = self._parameters is None
        if not first and parameters.quote_currency != self._portfolio.quote_currency:
            detail = f"{parameters.quote_currency}, the books are in {self._portfolio.quote_currency}"
            self._raise_alarm(AlarmReason.CONFIG_OTHER_CURRENCY, sequence, config, detail, reply)
            return
        self._parameters, self.config_hash = parameters, config.hash
        if first:
            self._portfolio = Portfolio(parameters.quote_currency)
            self._take_up_waiting(reply)

    def _take_up_waiting(self, reply: _Reply) -> None:
        waiting, self._waiting = self._waiting, []
        for sequence, message in waiting:
            self._handlers[type(message)](sequence, message, reply)

    def _on_account(self, sequence: int, account: Account, reply: _Reply) -> None:
        if self._parameters is None:
            if not any(isinstance(message, Account) for _, message in self._waiting):
                self._waiting.append((sequence, account))
        elif not self._portfolio.opened:
            self._open(sequence, account, self._parameters, reply)
        else:
            for difference in self._drift.compare(self._assets(), account, self._parameters):
                reply.say(
                    Drift,
                    currency=difference.currency,
                    books=difference.books,
                    venue=difference.venue,
                    difference=ZERO if difference.ended else difference.venue - difference.books,
                )

    def _open(self, sequence: int, account: Account, parameters: Parameters, reply: _Reply) -> None:
        unfit = [currency for currency, amount in sorted(held(account).items()) if not fits(amount)]
        if unfit:
            detail = f"balances of {', '.join(unfit)}; the books stay closed until an account message fits"
            self._raise_alarm(AlarmReason.UNREPRESENTABLE, sequence, account, detail, reply)
            return
        self._portfolio.open(account, parameters.symbols)
        self._valuation.opened(self._portfolio)
        postings = opening_postings(account)
        if postings:
            self._book(EntryKind.OPENING, sequence, account, postings, reply)
        reply.booked = True

    def _on_order(self, _sequence: int, order: Order, _reply: _Reply) -> None:
        if order.protects is not None:
            self._protects[order.client_order_id] = order.protects
            if len(self._protects) > _STOPS_MAX:
                del self._protects[next(iter(self._protects))]

    def _on_trade(self, sequence: int, message: Fill | Bust, reply: _Reply) -> None:
        if self._parameters is None:
            self._waiting.append((sequence, message))
            return
        trade = message.trade
        verdict = judge(message, self._portfolio, self._trades)
        if verdict is Already.BOOKED:
            return
        if verdict is not None:
            detail = f"{message.symbol} trade {trade.trade_id}: {message.side} {trade.model_dump_json()}"
            self._raise_alarm(verdict, sequence, message, detail, reply)
            return
        is_bust = isinstance(message, Bust)
        realized = self._portfolio.undo(message) if isinstance(message, Bust) else self._portfolio.apply(message)
        self._trades.remember(message)
        self._drift.traded(message)
        self._valuation.update(self._portfolio)
        self._book(
            EntryKind.BUST if is_bust else EntryKind.FILL,
            sequence,
            message,
            trade_postings(message, realized),
            reply,
            symbol=message.symbol,
            trade_id=trade.trade_id,
            client_order_id=message.client_order_id,
            config_hash=message.config_hash,
            protects=self._protects.get(message.client_order_id),
        )
        reply.booked = True

    def _on_movement(self, sequence: int, movement: Movement, reply: _Reply) -> None:
        if self._parameters is None:
            self._waiting.append((sequence, movement))
            return
        verdict = judge_movement(movement, self._portfolio, self._trades)
        if verdict is Already.BOOKED:
            return
        if verdict is not None:
            detail = f"{movement.movement} {movement.movement_id}: {plain(movement.amount)} {movement.currency}"
            self._raise_alarm(verdict, sequence, movement, detail, reply)
            return
        self._portfolio.move(movement)
        self._trades.remember(movement)
        self._drift.traded(movement)
        if is_transfer(movement) and movement.currency == self._portfolio.quote_currency:
            self._valuation.transferred(movement.amount)
        self._valuation.update(self._portfolio)
        postings = movement_postings(movement)
        if postings:
            ids = {"symbol": movement.symbol, "movement_id": movement.movement_id}
            self._book(EntryKind.MOVEMENT, sequence, movement, postings, reply, **ids)
        reply.booked = True

    def _book(
        self,
        kind: EntryKind,
        sequence: int,
        message: Message,
        postings: tuple[Posting, ...],
        reply: _Reply,
        **ids: str | None,
    ) -> None:
        self.entries += 1
        for posting in postings:
            key = (posting.account, posting.currency)
            self._balances[key] = self._balances.get(key, ZERO) + posting.amount
        reply.effects.append(
            JournalEntry(
                number=self.entries,
                kind=kind,
                tape_sequence=sequence,
                message_id=message.id,
                ts_us=message.ts_us,
                run_id=message.run_id,
                cycle_id=message.cycle_id,
                postings=postings,
                **ids,
            )
        )

    def _on_quote(self, _sequence: int, quote: Quote, _reply: _Reply) -> None:
        self._valuation.mark(quote)
        if self._portfolio.opened:
            self._valuation.update(self._portfolio)

    def _on_clock(self, sequence: int, clock: Clock, reply: _Reply) -> None:
        if self._parameters is None or self._said is None:
            return
        equity, said_us = self._said
        is_due = clock.ts_us >= said_us + self._parameters.books_interval_ms * 1_000
        if is_due and equity != self._valuation.equity:
            self._say_books(sequence, clock, reply)

    def _say_books(self, sequence: int, cause: Message, reply: _Reply) -> None:
        valuation, portfolio = self._valuation, self._portfolio
        each = valuation.unrealized(portfolio)
        unrealized = sum(each, ZERO)
        self._said = (valuation.equity, cause.ts_us)
        amounts = (valuation.equity, valuation.peak, valuation.drawdown, unrealized)
        if not all(map(fits, (*amounts, *each))):
            self._raise_alarm(AlarmReason.UNREPRESENTABLE, sequence, cause, f"equity {valuation.equity}", reply)
            return
        reply.say(
            Books,
            as_of=sequence,
            cash=self._cash(),
            positions=valuation.positions(portfolio),
            equity=valuation.equity,
            realized=portfolio.realized,
            unrealized=unrealized,
            fees=portfolio.fees,
            peak_equity=valuation.peak,
            drawdown=valuation.drawdown,
            config_hash=self.config_hash,
        )

    def _assets(self) -> dict[str, Decimal]:
        """What the books hold by currency."""
        return {
            currency: amount for (account, currency), amount in self._balances.items() if account == asset(currency)
        }

    def _cash(self) -> tuple[Cash, ...]:
        """What is held in the quote currency, and in currencies that are no position, sorted."""
        quote = self._portfolio.quote_currency
        amounts = {quote: ZERO, **self._assets()}
        for symbol, holding in self._portfolio.holdings().items():
            base = symbol.split("-")[0]
            amounts[base] = amounts.get(base, ZERO) - holding.quantity
        return tuple(
            Cash(currency=currency, amount=amounts[currency])
            for currency in sorted(amounts)
            if currency == quote or amounts[currency]
        )

    def _raise_alarm(self, reason: AlarmReason, sequence: int, message: Message, detail: str, reply: _Reply) -> None:
        self.alarms[reason.value] += 1
        reply.effects.append(Alarm(reason, sequence, message.id, detail))

    def status(self) -> dict[str, Any]:
        """Return what an operator asks of the books, decimals as plain strings."""
        valuation, portfolio = self._valuation, self._portfolio
        return {
            "opened": portfolio.opened,
            "cash": {line.currency: plain(line.amount) for line in self._cash()} if portfolio.opened else {},
            "positions": [position.model_dump(mode="json") for position in valuation.positions(portfolio)],
            "equity": plain(valuation.equity),
            "peak_equity": plain(valuation.peak),
            "drawdown": plain(valuation.drawdown),
            "realized": plain(portfolio.realized),
            "fees": plain(portfolio.fees),
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
            "balances": [[account, currency, plain(amount)] for (account, currency), amount in self.balances.items()],
            "protects": [list(pair) for pair in self._protects.items()],
            "waiting": [[sequence, encode(message).decode()] for sequence, message in self._waiting],
            "said": [plain(self._said[0]), self._said[1]] if self._said else None,
            "entries": self.entries,
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
        self._balances = {(account, currency): Decimal(amount) for account, currency, amount in state["balances"]}
        self._waiting = [(sequence, _waiting_message(text)) for sequence, text in state["waiting"]]
        self._protects = dict(state["protects"])
        self._said = (Decimal(state["said"][0]), state["said"][1]) if state["said"] else None
        self.entries = state["entries"]
        self.alarms = Counter(state["alarms"])


def _waiting_message(text: str) -> Moving:
    message = decode(text.encode())
    if not isinstance(message, Moving):
        raise TypeError(f"a waiting message is one that moves money, got {message.kind}")
    return message
