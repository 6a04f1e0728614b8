"""What the ledger is fed in a benchmark: its configuration, an account, and the lives of orders, each with its fill."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tollgate_contracts.approval import SignedText
from tollgate_contracts.config import Config, canonical_json, config_hash
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Fill, Liquidity, Order, OrderState, VenueTrade
from tollgate_contracts.marketdata import Quote, SymbolQuote
from tollgate_contracts.reconciliation import Account, Balance
from tollgate_contracts.risk import Decision, Outcome, Policy
from tollgate_contracts.strategy import Action, Intent, OrderType, Purpose, Rationale, Side, TimeInForce
from tollgate_ledger.core import Parameters

SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "AVAX-USDT")
START_US = 1_700_000_000_000_000
# An order each twenty seconds: days end on the way.
_STEP_US = 20_000_000
_WHY = Rationale(signal="s", regime="r", strength=Decimal(1), confidence=Decimal(1), tier="t", sizing=())
_HASH = "a" * 64
_LIFE = (OrderState.PLANNED, OrderState.SUBMITTING, OrderState.ACKNOWLEDGED, OrderState.FILLED)


def _envelope(message_id: str, ts_us: int = START_US) -> dict[str, Any]:
    return {"id": message_id, "desk": "main", "run_id": "bench", "ts_us": ts_us, "cause": None, "cycle_id": 1}


def beginning() -> tuple[Message, Message, Message]:
    """Return what opens the books."""
    text = Parameters(quote_currency="USDT", symbols=SYMBOLS).text()
    config = Config(writer="ledger", text=text, hash=config_hash(text), **_envelope("ledger:config:0.0"))
    terms = canonical_json({"venue": "simulated", "account": "main", "rules": {"cash": {"treasury_share_bps": "0"}}})
    policy = Policy(text=terms, hash=config_hash(terms), **_envelope("risk:policy:1"))
    account = Account(
        venue="simulated",
        account="main",
        balances=(Balance(currency="USDT", free=Decimal(10**12), locked=Decimal(0)),),
        positions=(),
        maker_fee_bps=Decimal(10),
        taker_fee_bps=Decimal(20),
        venue_ts_us=1,
        **_envelope("execution:simulated:1"),
    )
    return config, policy, account


def fill(number: int, step_us: int = 1) -> Fill:
    """Return fill ``number``: two purchases, then a sale of both, symbol after symbol."""
    ts_us = START_US + number * step_us
    trade = VenueTrade(
        trade_id=f"t{number}",
        price=Decimal(f"{30_000 + number % 977}.25"),
        quantity=_quantity(number),
        fee=Decimal("0.6005"),
        fee_currency="USDT",
        liquidity=Liquidity.TAKER,
        venue_ts_us=ts_us,
    )
    return Fill(
        client_order_id=_order_id(number),
        symbol=_symbol(number),
        side=_side(number),
        trade=trade,
        fee_rate=None,
        fee_rate_source="",
        config_hash=_HASH,
        **_envelope(f"execution:trade:{number}", ts_us),
    )


def life(number: int) -> Iterator[Message]:
    """Return all that is said of one order, from the quote that it is decided at to its last state."""
    ts_us = START_US + number * _STEP_US
    yield _quote(number, ts_us)
    yield _intent(number, ts_us)
    yield _decision(number, ts_us)
    yield _order(number, 1, ts_us)
    yield _order(number, 2, ts_us)
    yield fill(number, _STEP_US)
    yield _order(number, 3, ts_us)


def _symbol(number: int) -> str:
    return SYMBOLS[(number - 1) // 3 % len(SYMBOLS)]


def _side(number: int) -> Side:
    return Side.BUY if number % 3 else Side.SELL


def _quantity(number: int) -> Decimal:
    return Decimal("0.01") if number % 3 else Decimal("0.02")


def _order_id(number: int) -> str:
    return f"tg{number:030x}"


def _quote(number: int, ts_us: int) -> Quote:
    bid = Decimal(f"{30_000 + number % 977}.00")
    lines = tuple(
        SymbolQuote(
            symbol=symbol,
            bid=bid,
            bid_quantity=Decimal(1),
            ask=bid + Decimal("0.25"),
            ask_quantity=Decimal(1),
            venue_ts_us=ts_us,
            venue_sequence=number,
        )
        for symbol in SYMBOLS
    )
    return Quote(quotes=lines, **_envelope(f"marketdata:quote:{number}", ts_us))


def _intent(number: int, ts_us: int) -> Intent:
    return Intent(
        strategy="momentum",
        action=Action.SUBMIT,
        purpose=Purpose.ENTRY if number % 3 else Purpose.EXIT,
        client_order_id=_order_id(number),
        symbol=_symbol(number),
        side=_side(number),
        order_type=OrderType.MARKET,
        quantity=_quantity(number),
        limit_price=None,
        time_in_force=TimeInForce.IOC,
        post_only=False,
        reduce_only=False,
        expires_us=ts_us + 2_000_000,
        good_until_us=None,
        replaces=None,
        protection=None,
        rationale=_WHY,
        config_hash=_HASH,
        **_envelope(f"strategy:intent:{number}", ts_us),
    )


def _decision(number: int, ts_us: int) -> Decision:
    return Decision(
        intent_id=f"strategy:intent:{number}",
        action=Action.SUBMIT,
        client_order_id=_order_id(number),
        symbol=_symbol(number),
        outcome=Outcome.APPROVED,
        findings=(),
        approval=SignedText(text="approved", signature="0" * 128, key_id="0" * 16),
        config_hash=_HASH,
        **_envelope(f"risk:decision:{number}", ts_us),
    )


def _order(number: int, state: int, ts_us: int) -> Order:
    filled = _quantity(number) if _LIFE[state] is OrderState.FILLED else Decimal(0)
    return Order(
        client_order_id=_order_id(number),
        attempt=1,
        protects=None,
        venue_order_id=f"v{number}",
        intent_id=f"strategy:intent:{number}",
        symbol=_symbol(number),
        side=_side(number),
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
        post_only=False,
        reduce_only=False,
        quantity=_quantity(number),
        limit_price=None,
        trigger_price=None,
        from_state=_LIFE[state - 1],
        to_state=_LIFE[state],
        cumulative_quantity=filled,
        cumulative_quote=Decimal(f"{30_000 + number % 977}.25") * filled,
        reason=None,
        detail="",
        config_hash=_HASH,
        **_envelope(f"execution:order:{number}.{state}", ts_us),
    )
