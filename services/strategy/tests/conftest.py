"""A market for the strategy's tests: it writes what the other services would, and steps the strategy with it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tollgate_contracts.approval import SignedText
from tollgate_contracts.config import Config, canonical_json, config_hash
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import (
    Bust,
    Fill,
    Liquidity,
    Order,
    OrderState,
    Refusal,
    VenueTrade,
)
from tollgate_contracts.marketdata import (
    Clock,
    Feed,
    FeedState,
    FeedTransport,
    Instrument,
    InstrumentStatus,
    Quote,
    SymbolQuote,
)
from tollgate_contracts.reasons import Finding, Reason
from tollgate_contracts.reconciliation import Account, Balance, Movement, MovementType
from tollgate_contracts.risk import Decision, Outcome
from tollgate_contracts.strategy import Action, Intent, Side, TimeInForce
from tollgate_strategy.core import StrategyCore

STOP_ID = "tg" + "5" * 30
START_US = 1_700_000_000_000_000
SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "AVAX-USDT")
# Averages that follow at once: after one quote the fast one has gone half-way, the slow one a hundredth.
KNOBS: dict[str, Any] = {
    "name": "momentum",
    "fast_ms": 100,
    "slow_ms": 10_000,
    "warmup_ms": 0,
    "entry_bps": "10",
    "exit_bps": "10",
    "stop_loss_bps": "100",
    "take_profit_bps": "100",
    "max_hold_ms": 60_000,
    "cooldown_ms": 500,
    "rejection_backoff_ms": 1_000,
    "intent_life_ms": 2_000,
    "slippage_bps": "10",
    "target_notional": "1000",
    "order_notional_max": "4000",
    "cash_share_max": "0.5",
    "tiers": [
        {"name": "probe", "above_entry_bps": "0", "multiple": "0.5"},
        {"name": "full", "above_entry_bps": "20", "multiple": "1"},
        {"name": "strong", "above_entry_bps": "80", "multiple": "2"},
    ],
}


class Market:
    """Steps one ``StrategyCore``; time passes 100 ms with each quote."""

    def __init__(self) -> None:
        self.core = StrategyCore()
        self.now_us = START_US
        self.sequence = 0
        self.taped: list[Message] = []
        self.outputs: list[Message] = []
        self._named = 0

    def open(self, cash: str = "100000", **knobs: Any) -> "Market":
        """Bring the strategy to where a strong signal makes it buy: BTC quoted at 100, flat."""
        self.config(**knobs)
        self.account(USDT=cash)
        self.feed(FeedState.UP)
        for symbol in SYMBOLS:
            self.instrument(symbol)
        self.quote("100")
        return self

    def step(self, message: Message) -> tuple[Message, ...]:
        self.sequence += 1
        self.taped.append(message)
        outputs = self.core.step(self.sequence, message).outputs
        self.outputs.extend(outputs)
        return outputs

    def envelope(self, name: str) -> dict[str, Any]:
        self._named += 1
        return {
            "id": f"{name}:test:{self._named}",
            "desk": "main",
            "run_id": "r1",
            "ts_us": self.now_us,
            "cause": None,
            "cycle_id": 7,
        }

    def config(self, **knobs: Any) -> None:
        self.config_text(
            canonical_json(
                {
                    "desk": "main",
                    "venue": "simulated",
                    "account": "main",
                    "quote_currency": "USDT",
                    "symbols": list(SYMBOLS[:3]),
                    "knobs": {**KNOBS, **knobs},
                }
            )
        )

    def config_text(self, text: str, hash_of: str | None = None, writer: Any = "strategy") -> None:
        digest = config_hash(text if hash_of is None else hash_of)
        self.step(Config(**self.envelope(writer), writer=writer, text=text, hash=digest))

    def account(self, venue: str = "simulated", **balances: str) -> None:
        held = tuple(Balance(currency=c, free=Decimal(v), locked=Decimal(0)) for c, v in balances.items())
        self.step(
            Account(
                **self.envelope("execution"),
                venue=venue,
                account="main",
                balances=held,
                positions=(),
                maker_fee_bps=Decimal(10),
                taker_fee_bps=Decimal(20),
                venue_ts_us=self.now_us,
            )
        )

    def feed(self, state: FeedState) -> None:
        self.step(
            Feed(
                **self.envelope("marketdata"),
                venue="simulated",
                state=state,
                transport=FeedTransport.WEBSOCKET,
                detail="",
            )
        )

    def instrument(self, symbol: str = "BTC-USDT", **fields: Any) -> None:
        base, quote = symbol.split("-")
        given = {
            "tick": Decimal("0.01"),
            "step": Decimal("0.001"),
            "min_quantity": Decimal("0.001"),
            "min_notional": Decimal(5),
            "status": InstrumentStatus.OPEN,
            "valid_until_us": self.now_us + 3_600_000_000,
            "margin": None,
            **fields,
        }
        self.step(
            Instrument(**self.envelope("marketdata"), venue="simulated", symbol=symbol, base=base, quote=quote, **given)
        )

    def wait(self, milliseconds: int) -> None:
        self.now_us += milliseconds * 1_000
        self.step(Clock(**self.envelope("marketdata")))

    def quote(self, mid: str, *symbols: str, milliseconds: int = 100) -> tuple[Message, ...]:
        """Quote one tick either side of ``mid``."""
        self.now_us += milliseconds * 1_000
        lines = tuple(
            SymbolQuote(
                symbol=symbol,
                bid=Decimal(mid) - Decimal("0.01"),
                bid_quantity=Decimal(1),
                ask=Decimal(mid) + Decimal("0.01"),
                ask_quantity=Decimal(1),
                venue_ts_us=self.now_us,
                venue_sequence=self.sequence,
            )
            for symbol in symbols or ("BTC-USDT",)
        )
        return self.step(Quote(**self.envelope("marketdata"), quotes=lines))

    def buy(self, mid: str = "101") -> Intent:
        """Let the price jump so that the strategy wants to buy, and return what it wrote."""
        (intent,) = self.quote(mid)
        assert isinstance(intent, Intent)
        return intent

    def hold(self, mid: str = "101") -> Intent:
        """Let the strategy buy and all of it trade at its limit."""
        intent = self.buy(mid)
        self.approve(intent)
        self.fill(intent)
        self.order(intent, OrderState.FILLED, intent.quantity)
        return intent

    def approve(self, intent: Intent) -> str:
        """Return the decision's id."""
        signed = SignedText(text="{}", signature="0" * 128, key_id="0" * 16)
        return self._decide(intent, Outcome.APPROVED, (), signed)

    def reject(self, intent: Intent, intent_id: str | None = None) -> str:
        finding = Finding(code=Reason.GATE_KILL_SWITCH, limit="", seen="", unit="")
        return self._decide(intent, Outcome.REJECTED, (finding,), None, intent_id)

    def _decide(self, intent: Intent, outcome: Outcome, findings: Any, approval: Any, intent_id: Any = None) -> str:
        decision = Decision(
            **self.envelope("risk"),
            intent_id=intent_id or intent.id,
            action=Action.SUBMIT,
            client_order_id=intent.client_order_id,
            symbol=intent.symbol,
            outcome=outcome,
            findings=findings,
            approval=approval,
            config_hash="0" * 64,
        )
        self.step(decision)
        return decision.id

    def refuse(self, intent: Intent, decision_id: str) -> None:
        self.step(
            Refusal(
                **self.envelope("execution"),
                decision_id=decision_id,
                client_order_id=intent.client_order_id,
                codes=(Reason.APPROVAL_EXPIRED,),
                detail="",
            )
        )

    def order(self, intent: Intent, to_state: OrderState, cumulative: Decimal | str = "0") -> None:
        self.step(
            Order(
                **self.envelope("execution"),
                client_order_id=intent.client_order_id,
                venue_order_id=None,
                intent_id=intent.id,
                symbol=intent.symbol,
                side=intent.side,
                order_type=intent.order_type,
                time_in_force=intent.time_in_force,
                post_only=False,
                reduce_only=False,
                quantity=intent.quantity,
                limit_price=intent.limit_price,
                attempt=1,
                protects=None,
                trigger_price=None,
                from_state=OrderState.PLANNED,
                to_state=to_state,
                cumulative_quantity=Decimal(cumulative),
                cumulative_quote=Decimal(0),
                reason=None,
                detail="",
                config_hash="0" * 64,
            )
        )

    def protect(self, intent: Intent, to_state: OrderState, cumulative: Decimal | str = "0") -> None:
        """Say a state of the stop that execution has placed for what the entry ``intent`` filled."""
        self.step(
            Order(
                **self.envelope("execution"),
                client_order_id=STOP_ID,
                venue_order_id=None,
                intent_id=intent.id,
                symbol=intent.symbol,
                side=Side.SELL,
                order_type=intent.order_type,
                time_in_force=TimeInForce.GTC,
                post_only=False,
                reduce_only=True,
                quantity=intent.quantity,
                limit_price=intent.protection.limit_price,
                attempt=1,
                protects=intent.client_order_id,
                trigger_price=intent.protection.trigger_price,
                from_state=OrderState.PLANNED,
                to_state=to_state,
                cumulative_quantity=Decimal(cumulative),
                cumulative_quote=Decimal(0),
                reason=None,
                detail="",
                config_hash="0" * 64,
            )
        )

    def stop_fills(self, intent: Intent, quantity: Decimal | str, price: str) -> Fill:
        """Let the stop of ``intent`` trade."""
        trade = VenueTrade(
            trade_id=f"t{self.sequence}",
            price=Decimal(price),
            quantity=Decimal(quantity),
            fee=Decimal(0),
            fee_currency="USDT",
            liquidity=Liquidity.TAKER,
            venue_ts_us=self.now_us,
        )
        fill = Fill(
            **self.envelope("execution"),
            client_order_id=STOP_ID,
            symbol=intent.symbol,
            side=Side.SELL,
            trade=trade,
            fee_rate=None,
            fee_rate_source="",
            config_hash="0" * 64,
        )
        self.step(fill)
        return fill

    def bust(self, fill: Fill) -> None:
        """Let the venue take a fill back."""
        self.step(
            Bust(
                **self.envelope("execution"),
                client_order_id=fill.client_order_id,
                symbol=fill.symbol,
                side=fill.side,
                trade=fill.trade,
                fee_rate=fill.fee_rate,
                fee_rate_source=fill.fee_rate_source,
                config_hash=fill.config_hash,
            )
        )

    def move(self, amount: str, account: str = "main", currency: str = "USDT", rate: str | None = None) -> None:
        """Let money come or go without an order."""
        self.step(
            Movement(
                **self.envelope("execution"),
                venue="simulated",
                account=account,
                movement_id=f"m{self.sequence}",
                movement=MovementType.DEPOSIT,
                currency=currency,
                amount=Decimal(amount),
                symbol=None,
                venue_ts_us=self.now_us,
                rate=None if rate is None else Decimal(rate),
                rate_source="" if rate is None else "quote:1",
            )
        )

    def fill(self, intent: Intent, quantity: Decimal | str | None = None, price: str | None = None, **fee: str) -> Fill:
        trade = VenueTrade(
            trade_id=f"t{self.sequence}",
            price=intent.limit_price if price is None else Decimal(price),
            quantity=intent.quantity if quantity is None else Decimal(quantity),
            fee=Decimal(fee.get("fee", "0")),
            fee_currency=fee.get("currency", "USDT"),
            liquidity=Liquidity.TAKER,
            venue_ts_us=self.now_us,
        )
        fill = Fill(
            **self.envelope("execution"),
            client_order_id=intent.client_order_id,
            symbol=intent.symbol,
            side=intent.side,
            trade=trade,
            fee_rate=Decimal(fee["fee_rate"]) if "fee_rate" in fee else None,
            fee_rate_source="quote:1" if "fee_rate" in fee else "",
            config_hash="0" * 64,
        )
        self.step(fill)
        return fill


@pytest.fixture(scope="session")
def new_market() -> Callable[[], Market]:
    """Build markets; for tests that need more than one."""
    return Market


@pytest.fixture
def market() -> Market:
    """Return a strategy that has seen nothing."""
    return Market()


@pytest.fixture
def open_market() -> Market:
    """Return a strategy that would buy on the next strong quote."""
    return Market().open()
