"""A desk for the gate's tests: it writes what the other services would, and steps the gate with it."""

import copy
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tollgate_contracts.config import canonical_json, config_hash
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
from tollgate_contracts.ledger import Drift
from tollgate_contracts.marketdata import (
    Clock,
    Feed,
    FeedState,
    FeedTransport,
    Funding,
    Instrument,
    InstrumentStatus,
    Quote,
    SymbolQuote,
)
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import (
    Account,
    Balance,
    Difference,
    Movement,
    MovementType,
    Reconcile,
    Repair,
    VenuePosition,
)
from tollgate_contracts.risk import Decision, KillLevel, KillSwitch, Mode, Policy
from tollgate_contracts.safety import Breaker, BreakerState, EndpointGroup
from tollgate_contracts.strategy import Action, Intent, OrderType, Purpose, Rationale, Side, TimeInForce
from tollgate_domain.costs import CostModel, FeeTier, MarketTier
from tollgate_risk.core import RiskCore
from tollgate_risk.core.policy import key_id_of

# The rows that the gates' tables share lie beside them; in importlib mode pytest puts no folder on the path itself.
sys.path.insert(0, str(Path(__file__).parent))

STOP_ID = "tg" + "5" * 30
START_US = 1_700_000_000_000_000
PUBLIC_KEY = bytes(range(32))
SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "AVAX-USDT")
# Of a desk that reckons with what its venue states, and with nothing more.
WITHOUT_TIERS = CostModel(
    fee_tiers=(FeeTier(volume_from=Decimal(0), maker_bps=Decimal(0), taker_bps=Decimal(0)),),
    markets=(MarketTier(name="all", half_spread_bps=Decimal(0), slippage_bps=Decimal(0)),),
)
SYMBOL_CAPS = [{"symbol": symbol, "units": "1000000"} for symbol in SYMBOLS]
RULES: dict[str, Any] = {
    "revision": 1,
    "mode": "NORMAL",
    "approval_life_ms": 1_500,
    "arming": {"dry_run": False, "live_trading": False, "live_trading_ack": ""},
    "intents": {
        "life_ms_max": 10_000,
        "duplicate_memory_ms": 60_000,
        "repeat_ms": 0,
        "allow_market_orders": False,
        "working_ms_max": 3_600_000,
        "protection_bps_max": "500",
    },
    "universe": {"allowed": ["BTC-USDT", "ETH-USDT", "SOL-USDT"], "excluded": []},
    "data": {"quote_age_ms_max": 2_000, "clock_skew_ms_max": 1_000},
    "price": {"collar_bps": "100"},
    "limits": {
        "order_notional": "5000",
        "cycle_notional": "1000000",
        "position_notional": "10000",
        "position_units": SYMBOL_CAPS,
        "gross_exposure": "20000",
        "net_exposure": "1000000",
        "concentration_bps": "10000",
        "groups": [],
        "open_orders": 4,
        "open_orders_symbol": 2,
        "orders_per_cycle": 6,
        "reducing_orders_per_cycle": 8,
    },
    "cash": {"reserve": "1000", "treasury_share_bps": "0"},
    "pace": {
        "rate_per_s": 1_000,
        "burst": 1_000,
        "global_spacing_ms": 0,
        "symbol_cooldown_ms": 0,
        "reducing_symbol_cooldown_ms": 0,
        "after_win_ms": 0,
        "after_loss_ms": 0,
        "after_stop_ms": 0,
        "orders_per_hour": 1_000_000,
        "orders_per_day": 1_000_000,
    },
    "loss": {
        "daily": "1000000",
        "drawdown_bps": "10000",
        "consecutive": 1_000_000,
        "consecutive_pause_ms": 60_000,
        "symbol_consecutive": 1_000_000,
        "symbol_lockout_ms": 60_000,
    },
    "margin": {
        "leverage_max": "5",
        "initial_buffer_bps": "0",
        "maintenance_buffer_bps": "0",
        "liquidation_distance_bps": "0",
        "funding_horizon_ms": 0,
        "funding_share_bps": "10000",
    },
    "modes": {
        "cool_off_ms": 10_000,
        "window_ms": 60_000,
        "win_rate_trips": 10,
        "conditions": dict.fromkeys(
            ("daily_loss", "drawdown", "consecutive_losses", "feed", "clock_skew", "rejection_spike", "trade_spike",
             "venue_errors", "breaker_open", "no_fills", "win_rate", "ledger_drift", "reconciliation_lag")
        ),
    },
    "kill": {"retry_ms": 1_000, "flatten_collar_bps": "300"},
    "reconciliation": {"tolerance_quote": "0"},
}  # fmt: skip
WHY = Rationale(signal="s", regime="r", strength=Decimal(1), confidence=Decimal(1), tier="t", sizing=())


class Desk:
    """Steps one ``RiskCore`` and keeps all that it answered."""

    def __init__(self) -> None:
        self.core = RiskCore()
        self.now_us = START_US
        self.sequence = 0
        self.cycle_id = 1
        self.outputs: list[Message] = []
        self.taped: list[Message] = []
        self._named = 0

    def open(self, rules: dict[str, Any] | None = None, cash: str = "100000", **identity: Any) -> "Desk":
        """Bring the gate to where a good intent is approved: BTC at 100, mark exactly 100, fees 20 bps."""
        self.policy(rules, **identity)
        self.account(USDT=cash)
        self.feed(FeedState.UP)
        for symbol in SYMBOLS:
            self.instrument(symbol)
        self.quote()
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
            "cycle_id": self.cycle_id,
        }

    def wait(self, microseconds: int) -> None:
        """Let tape time pass, as a clock message of the same cycle would."""
        self.now_us += microseconds
        self.step(Clock(**self.envelope("marketdata")))

    def next_cycle(self) -> None:
        self.cycle_id += 1
        self.step(Clock(**self.envelope("marketdata")))

    def policy(self, rules: dict[str, Any] | None = None, **identity: Any) -> tuple[Message, ...]:
        document = {
            "version": 3,
            "environment": "simulated",
            "desk": "main",
            "venue": "simulated",
            "account": "main",
            "quote_currency": "USDT",
            "symbols": list(SYMBOLS),
            "public_key": PUBLIC_KEY.hex(),
            "key_id": key_id_of(PUBLIC_KEY),
            "tightens": None,
            "costs": WITHOUT_TIERS.model_dump(mode="json"),
            "rules": changed(rules or {}),
            **identity,
        }
        return self.policy_text(canonical_json(document))

    def policy_text(self, text: str) -> tuple[Message, ...]:
        return self.step(Policy(**self.envelope("risk"), text=text, hash=config_hash(text)))

    def account(
        self,
        *,
        fee_bps: str = "20",
        maker_bps: str | None = None,
        venue: str = "simulated",
        positions: tuple[VenuePosition, ...] = (),
        **balances: str,
    ) -> None:
        held = tuple(Balance(currency=c, free=Decimal(v), locked=Decimal(0)) for c, v in balances.items())
        self.step(
            Account(
                **self.envelope("execution"),
                venue=venue,
                account="main",
                balances=held,
                positions=positions,
                maker_fee_bps=Decimal(fee_bps if maker_bps is None else maker_bps),
                taker_fee_bps=Decimal(fee_bps),
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
            "min_quantity": Decimal("0.01"),
            "min_notional": Decimal(5),
            "status": InstrumentStatus.OPEN,
            "valid_until_us": self.now_us + 3_600_000_000,
            "margin": None,
            **fields,
        }
        self.step(
            Instrument(**self.envelope("marketdata"), venue="simulated", symbol=symbol, base=base, quote=quote, **given)
        )

    def quote(self, *symbols: str, bid: str = "99.99", ask: str = "100.01", venue_ts_us: int | None = None) -> None:
        lines = tuple(
            SymbolQuote(
                symbol=symbol,
                bid=Decimal(bid),
                bid_quantity=Decimal(1),
                ask=Decimal(ask),
                ask_quantity=Decimal(1),
                venue_ts_us=self.now_us if venue_ts_us is None else venue_ts_us,
                venue_sequence=self.sequence,
            )
            for symbol in symbols or ("BTC-USDT", "ETH-USDT", "SOL-USDT")
        )
        self.step(Quote(**self.envelope("marketdata"), quotes=lines))

    def intent(self, side: str = "BUY", quantity: str = "1", price: str | None = "100", **fields: Any) -> Intent:
        self._named += 1
        given = {
            "strategy": "momentum",
            "action": Action.SUBMIT,
            "purpose": Purpose.ENTRY if side == "BUY" else Purpose.EXIT,
            "client_order_id": f"tg{self._named:030x}",
            "symbol": "BTC-USDT",
            "side": Side(side),
            "order_type": OrderType.LIMIT,
            "quantity": Decimal(quantity),
            "limit_price": None if price is None else Decimal(price),
            "time_in_force": TimeInForce.IOC,
            "post_only": False,
            "reduce_only": False,
            "expires_us": self.now_us + 2_000_000,
            "good_until_us": None,
            "replaces": None,
            "protection": None,
            "rationale": WHY,
            "config_hash": "c" * 64,
            **fields,
        }
        cause = max(self.sequence, 1)
        envelope = {**self.envelope("strategy"), "id": f"strategy:{cause}:{self._named}", "cause": cause}
        return Intent(**{**envelope, **given})

    def decide(self, intent: Intent) -> Decision:
        (decision,) = self.step(intent)
        assert isinstance(decision, Decision)
        return decision

    def ask(self, side: str = "BUY", quantity: str = "1", price: str | None = "100", **fields: Any) -> Decision:
        return self.decide(self.intent(side, quantity, price, **fields))

    def reasons(self, side: str = "BUY", quantity: str = "1", price: str | None = "100", **fields: Any) -> list[Reason]:
        return [finding.code for finding in self.ask(side, quantity, price, **fields).findings]

    def kill(self, *, engaged: bool, epoch: int, level: str = "HALT") -> tuple[Message, ...]:
        switch = {"engaged": engaged, "level": KillLevel(level), "epoch": epoch}
        return self.step(KillSwitch(**self.envelope("risk"), **switch, actor="test", reason="test"))

    def order(
        self, client_order_id: str, to_state: OrderState, cumulative: str = "0", quantity: str = "1", **fields: Any
    ) -> None:
        given = {
            "symbol": "BTC-USDT",
            "side": Side.BUY,
            "limit_price": Decimal(100),
            "intent_id": "strategy:1:0",
            "reason": None,
            "protects": None,
            "trigger_price": None,
            **fields,
        }
        self.step(
            Order(
                **self.envelope("execution"),
                client_order_id=client_order_id,
                venue_order_id=None,
                order_type=OrderType.LIMIT,
                time_in_force=TimeInForce.IOC,
                post_only=False,
                reduce_only=False,
                quantity=Decimal(quantity),
                attempt=1,
                from_state=OrderState.PLANNED,
                to_state=to_state,
                cumulative_quantity=Decimal(cumulative),
                cumulative_quote=Decimal(0),
                detail="",
                config_hash="0" * 64,
                **given,
            )
        )

    def protect(self, entry_id: str, to_state: OrderState, cumulative: str = "0", quantity: str = "1") -> None:
        """Say a state of the stop that execution has placed for what the entry filled."""
        terms = {"side": Side.SELL, "limit_price": Decimal(97), "trigger_price": Decimal(98)}
        self.order(STOP_ID, to_state, cumulative, quantity, protects=entry_id, **terms)

    def bust(self) -> tuple[Message, ...]:
        """Let the venue take the last fill back."""
        fill = next(message for message in reversed(self.taped) if isinstance(message, Fill))
        what = fill.model_dump(
            include={"client_order_id", "symbol", "side", "fee_rate", "fee_rate_source", "config_hash"}
        )
        return self.step(Bust(**self.envelope("execution"), **what, trade=fill.trade))

    def move(
        self, amount: str, movement: MovementType = MovementType.DEPOSIT, currency: str = "USDT", **fields: Any
    ) -> None:
        """Let money come or go without an order."""
        given = {"account": "main", "symbol": None, "venue_ts_us": self.now_us, **fields}
        if "rate" in given:
            given |= {"rate": Decimal(given["rate"]), "rate_source": "quote:1"}
        self.step(
            Movement(
                **self.envelope("execution"),
                venue="simulated",
                movement_id=f"m{self.sequence}",
                movement=movement,
                currency=currency,
                amount=Decimal(amount),
                **given,
            )
        )

    def fill(
        self, client_order_id: str, quantity: str, price: str = "100", side: str = "BUY", fee: str = "0", **fields: Any
    ) -> tuple[Message, ...]:
        trade = VenueTrade(
            trade_id=f"t{self.sequence}",
            price=Decimal(price),
            quantity=Decimal(quantity),
            fee=Decimal(fee),
            fee_currency=fields.get("fee_currency", "USDT"),
            liquidity=Liquidity.TAKER,
            venue_ts_us=self.now_us,
        )
        return self.step(
            Fill(
                **self.envelope("execution"),
                client_order_id=client_order_id,
                symbol=fields.get("symbol", "BTC-USDT"),
                side=Side(side),
                trade=trade,
                fee_rate=Decimal(fields["fee_rate"]) if "fee_rate" in fields else None,
                fee_rate_source="quote:1" if "fee_rate" in fields else "",
                config_hash="0" * 64,
            )
        )

    def refuse(self, decision: Decision, decision_id: str | None = None) -> None:
        self.step(
            Refusal(
                **self.envelope("execution"),
                decision_id=decision_id or decision.id,
                client_order_id=decision.client_order_id,
                codes=(Reason.APPROVAL_EXPIRED,),
                detail="",
            )
        )

    def breaker(self, to_state: BreakerState, group: EndpointGroup = EndpointGroup.ORDERS) -> None:
        states = {"from_state": BreakerState.CLOSED, "to_state": to_state}
        self.step(Breaker(**self.envelope("execution"), group=group, **states, detail=""))

    def drift(self, currency: str, difference: str) -> None:
        venue = Decimal(100)
        amounts = {"books": venue - Decimal(difference), "venue": venue, "difference": Decimal(difference)}
        self.step(Drift(**self.envelope("ledger"), currency=currency, **amounts))

    def reconcile(self, subject: str, difference: Difference, repair: Repair) -> None:
        words = {"differed": f"the venue states 2 {subject}, 0 is expected", "evidence": "account", "detail": ""}
        said = {"subject": subject, "difference": difference, "repair": repair, **words}
        self.step(Reconcile(**self.envelope("execution"), **said))

    def trip(self, sold_at: str, quantity: str = "1", bought_at: str = "100", symbol: str = "BTC-USDT") -> None:
        """Buy and sell the same quantity, as fills of orders that are over."""
        self.fill("tg" + "f" * 30, quantity, bought_at, symbol=symbol)
        self.fill("tg" + "f" * 30, quantity, sold_at, "SELL", symbol=symbol)

    def stop(self, sold_at: str, bought_at: str = "100", symbol: str = "BTC-USDT") -> None:
        """Buy one, and let an order that is a stop sell it."""
        self.fill("tg" + "f" * 30, "1", bought_at, symbol=symbol)
        sale = self.ask("SELL", "1", purpose=Purpose.STOP, symbol=symbol)
        self.fill(sale.client_order_id, "1", sold_at, "SELL", symbol=symbol)
        self.order(sale.client_order_id, OrderState.FILLED, "1", symbol=symbol, side=Side.SELL)

    def funding(self, rate: str, due_in_us: int = 0, symbol: str = "BTC-USDT") -> None:
        due = {"rate": Decimal(rate), "due_us": self.now_us + due_in_us}
        self.step(Funding(**self.envelope("marketdata"), venue="simulated", symbol=symbol, **due))

    def hold(self, quantity: str, symbol: str = "BTC-USDT", price: str = "100") -> None:
        """Put a position into the gate's books, as a fill of an order that is over."""
        self.fill("tg" + "f" * 30, quantity, price, symbol=symbol)

    def modes(self) -> list[Mode]:
        return [message for message in self.outputs if isinstance(message, Mode)]


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the rules with changes such as ``{"limits.open_orders": 1}``."""
    rules = copy.deepcopy(RULES)
    for path, value in changes.items():
        *sections, key = path.split(".")
        section = rules
        for name in sections:
            section = section[name]
        section[key] = value
    return rules


@pytest.fixture(scope="session")
def new_desk() -> Callable[[], Desk]:
    """Build desks; for tests that need more than one."""
    return Desk


@pytest.fixture(scope="session")
def rules_with() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the test policy's rules with changes by dotted path."""
    return changed


@pytest.fixture
def desk() -> Desk:
    """Return a gate that has seen nothing."""
    return Desk()


@pytest.fixture
def open_desk() -> Desk:
    """Return a gate at which a good intent is approved."""
    return Desk().open()
