"""One small exchange, and the requests that its tests make."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_domain.costs import CostModel, FeeTiers
from tollgate_simvenue.core.account import Account
from tollgate_simvenue.core.exchange import Exchange
from tollgate_simvenue.core.fees import IN_QUOTE, FeeSchedule
from tollgate_simvenue.core.flavours import Manners
from tollgate_simvenue.core.market import BookSnapshot
from tollgate_simvenue.core.model import Instrument, Order, OrderRequest
from tollgate_simvenue.core.units import ATOMS_PER_UNIT, UNITS, atoms_text
from tollgate_simvenue.floor import Floor, MarketStatus, wall_us
from tollgate_simvenue.hub import Hub
from tollgate_simvenue.settings import SimvenueSection
from tollgate_simvenue.store import Store

ONE = UNITS
ATOM = UNITS * ATOMS_PER_UNIT
MINUTE_US = 60_000_000
SYMBOL = "BTC-USDT"
FEE_TIERS = CostModel().fee_tiers


def exchange(
    *,
    usdt: int = 1_000,
    btc: int = 0,
    status: InstrumentStatus = InstrumentStatus.OPEN,
    min_notional: int = 5,
    manners: Manners | None = None,
    fee_tiers: FeeTiers = FEE_TIERS,
    fee_currency: str = IN_QUOTE,
    bnb_atoms: int = 0,
) -> Exchange:
    """One symbol at 100/101 with ten on each side, and another at 49/51; maker pays 10 bps, taker 20."""
    rules = ("USDT", ONE // 100, ONE // 1000, ONE // 100, min_notional * ATOM, status)
    made = Exchange(
        [Instrument(SYMBOL, "BTC", *rules), Instrument("BNB-USDT", "BNB", *rules)],
        Account({"USDT": usdt * ATOM, "BTC": btc * ATOM} | ({"BNB": bnb_atoms} if bnb_atoms else {})),
        FeeSchedule(fee_tiers, currency=fee_currency),
        candle_interval_us=MINUTE_US,
        session=3,
        opened_us=1_000,
        manners=manners,
    )
    made.apply(SYMBOL, BookSnapshot(((100 * ONE, 10 * ONE),), ((101 * ONE, 10 * ONE),)), 1)
    made.apply("BNB-USDT", BookSnapshot(((49 * ONE, 10 * ONE),), ((51 * ONE, 10 * ONE),)), 1)
    return made


def request(client_order_id: str = "a", **changes: Any) -> OrderRequest:
    fields: dict[str, Any] = {
        "client_order_id": client_order_id,
        "symbol": SYMBOL,
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "quantity": ONE,
        "limit_price": 99 * ONE,
        "time_in_force": TimeInForce.GTC,
        "post_only": False,
        "received_us": 5,
        **changes,
    }
    return OrderRequest(**fields)


def place(venue: Exchange, client_order_id: str = "a", **changes: Any) -> Order:
    order, _ = venue.place(request(client_order_id, **changes), 10)
    assert isinstance(order, Order)
    return order


def balances(venue: Exchange) -> dict[str, tuple[str, str]]:
    return {
        name: (atoms_text(venue.account.free[name]), atoms_text(venue.account.locked[name]))
        for name in venue.account.currencies()
    }


OPENING = {"USDT": 10**9 * UNITS * ATOMS_PER_UNIT}


def open_floor(
    path: Path, opened_us: int = 1, manners: Manners | None = None, clock: Callable[[], int] = wall_us
) -> Floor:
    """A floor whose one market is deep, at 100/101."""
    section = SimvenueSection()
    store = Store(path)
    restored = store.open(OPENING, opened_us)
    exchange = Exchange(
        [section.instruments[0].instrument()],
        Account(restored.balances),
        section.fees(CostModel(), restored.traded),
        candle_interval_us=60_000_000,
        session=restored.session,
        opened_us=opened_us,
        known_ids=restored.known_ids,
        fill_sequence=restored.fill_sequence,
        movement_sequence=restored.movement_sequence,
        manners=manners,
    )
    floor = Floor(exchange, store, Hub(), restored.session, MarketStatus("a test"), clock)
    floor.move("BTC-USDT", BookSnapshot(((100 * UNITS, 10**6 * UNITS),), ((101 * UNITS, 10**6 * UNITS),)))
    return floor
