"""Orders for benchmarks of execution: signed approvals, the venue's word on them, and a core that has taken them."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from nacl.signing import SigningKey

from tollgate_contracts.approval import APPROVAL_DOMAIN, SignedText
from tollgate_contracts.config import Config, canonical_json, config_hash
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Liquidity, Report, ReportSource, ReportStatus, VenueTrade
from tollgate_contracts.marketdata import Clock, Quote, SymbolQuote
from tollgate_contracts.reconciliation import Account, Balance
from tollgate_contracts.risk import Decision, Outcome, Policy
from tollgate_contracts.strategy import Action
from tollgate_execution.core import ExecutionCore
from tollgate_execution.verification import Verifier, key_id_of

START_US = 1_700_000_000_000_000
POLICY_HASH = "ab" * 32
SYMBOL = "BTC-USDT"
_KEY = SigningKey(b"b" * 32)
_PUBLIC = _KEY.verify_key.encode().hex()
_TRUSTED = {key_id_of(_PUBLIC): _PUBLIC}
_LIFE_US = 5_000_000


def new_core() -> ExecutionCore:
    """Return an empty core that trusts the key of these orders."""
    return ExecutionCore(Verifier(_TRUSTED).approval)


def order_id(number: int) -> str:
    """Return the id of an order."""
    return f"tg{number:030x}"


def trade(number: int, at_us: int) -> VenueTrade:
    """Return the trade that fills an order, with the fee of the stated tier."""
    return VenueTrade(
        trade_id=f"t{number}",
        price=Decimal(100),
        quantity=Decimal(1),
        fee=Decimal("0.2"),
        fee_currency="USDT",
        liquidity=Liquidity.TAKER,
        venue_ts_us=at_us,
    )


class Writer:
    """Writes messages of a desk as its services do; sides take turns, so that the position stays small."""

    def __init__(self) -> None:
        self.now_us = START_US
        self._count = 0

    def envelope(self, cause: int | None = None) -> dict[str, Any]:
        """Return the fields of every message."""
        self._count += 1
        return {"desk": "main", "run_id": "bench", "ts_us": self.now_us, "cause": cause, "cycle_id": 1}

    def opening(self) -> Iterator[Message]:
        """Yield what stands at the beginning: configuration, policy, quote and account."""
        text = canonical_json(
            {
                "environment": "simulated",
                "desk": "main",
                "venue": "simulated",
                "account": "main",
                "quote_currency": "USDT",
                "symbols": [SYMBOL],
                "trusted_keys": _TRUSTED,
            }
        )
        digest = config_hash(text)
        yield Config(writer="execution", id="execution:config:1", text=text, hash=digest, **self.envelope())
        yield Policy(id="risk:policy:1", text="{}", hash=POLICY_HASH, **self.envelope())
        yield self.quote()
        yield self.account()

    def quote(self) -> Quote:
        """Return a quote of the symbol."""
        price = {"bid": Decimal(99), "ask": Decimal(101), "bid_quantity": Decimal(5), "ask_quantity": Decimal(5)}
        one = SymbolQuote(symbol=SYMBOL, venue_ts_us=self.now_us, venue_sequence=self._count, **price)
        return Quote(id=f"marketdata:simulated:quote-{self._count}", quotes=(one,), **self.envelope())

    def clock(self) -> Clock:
        """Return a beat of the clock."""
        return Clock(id=f"marketdata:clock:1.{self._count}", **self.envelope())

    def account(self) -> Account:
        """State the account."""
        balance = Balance(currency="USDT", free=Decimal(1_000_000), locked=Decimal(0))
        coins = Balance(currency="BTC", free=Decimal(1_000_000), locked=Decimal(0))
        return Account(
            id=f"execution:simulated:account-{self._count}",
            venue="simulated",
            account="main",
            balances=(balance, coins),
            positions=(),
            maker_fee_bps=Decimal(10),
            taker_fee_bps=Decimal(20),
            venue_ts_us=self.now_us,
            **self.envelope(),
        )

    def decision(self, number: int, sequence: int) -> Decision:
        """Return risk's approval of an order of 1 at 100, read at ``sequence``."""
        side = "BUY" if number % 2 else "SELL"
        text = canonical_json(
            {
                "version": 3,
                "scope": "TRADE",
                "environment": "simulated",
                "desk": "main",
                "venue": "simulated",
                "account": "main",
                "action": "SUBMIT",
                "client_order_id": order_id(number),
                "intent_id": f"strategy:{number}:0",
                "symbol": SYMBOL,
                "side": side,
                "order_type": "LIMIT",
                "quantity": "1",
                "limit_price": "100",
                "time_in_force": "GTC",
                "post_only": False,
                "reduce_only": False,
                "issued_us": self.now_us,
                "expires_us": self.now_us + _LIFE_US,
                "good_until_us": None,
                "replaces": None,
                "protection": None,
                "policy_hash": POLICY_HASH,
                "kill_epoch": 0,
                "key_id": key_id_of(_PUBLIC),
            }
        )
        signature = _KEY.sign(APPROVAL_DOMAIN + text.encode()).signature.hex()
        return Decision(
            id=f"risk:{sequence - 1}:0",
            intent_id=f"strategy:{number}:0",
            action=Action.SUBMIT,
            client_order_id=order_id(number),
            symbol=SYMBOL,
            outcome=Outcome.APPROVED,
            findings=(),
            approval=SignedText(text=text, signature=signature, key_id=key_id_of(_PUBLIC)),
            config_hash=POLICY_HASH,
            **self.envelope(sequence - 1),
        )

    def report(self, number: int, *, filled: bool) -> Report:
        """Return the venue's word on an order: that it works, or that it is filled."""
        return Report(
            id=f"execution:simulated:report-{self._count}",
            client_order_id=order_id(number),
            source=ReportSource.SUBMIT,
            status=ReportStatus.FILLED if filled else ReportStatus.OPEN,
            venue_order_id=f"v{number}",
            cumulative_quantity=Decimal(1 if filled else 0),
            trades=(trade(number, self.now_us),) if filled else (),
            busted=(),
            reason=None,
            detail="",
            venue_ts_us=self.now_us,
            **self.envelope(),
        )
