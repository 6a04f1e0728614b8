"""A desk with protected entries, for the tests of stops."""

from decimal import Decimal
from typing import Any

from execution_samples import START_US, Desk, order_id, trade

from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.marketdata import Instrument, InstrumentStatus
from tollgate_contracts.reasons import Reason
from tollgate_execution.core import Cancel, Submit
from tollgate_execution.core.placing import Leg
from tollgate_execution.core.protection import stop_id

R = ReportStatus
BTC = "BTC-USDT"
PROTECTED: dict[str, Any] = {"protection": {"trigger_price": "95", "limit_price": "94"}}
EXIT: dict[str, Any] = {"side": "SELL", "reduce_only": True, "limit_price": "90"}
FIRST, SECOND = stop_id(order_id(1), 1), stop_id(order_id(1), 2)


class Protected(Desk):
    """A desk whose instrument is known, with short words for what the venue says."""

    def __init__(self) -> None:
        super().__init__()
        self.instrument()
        self.trades = 0

    def instrument(self, status: InstrumentStatus = InstrumentStatus.OPEN) -> None:
        self.step(
            Instrument(
                id=f"marketdata:instrument:{self.sequence}",
                venue="simulated",
                symbol=BTC,
                base="BTC",
                quote="USDT",
                tick=Decimal("0.01"),
                step=Decimal("0.001"),
                min_quantity=Decimal("0.01"),
                min_notional=Decimal(5),
                status=status,
                valid_until_us=START_US + 10**12,
                margin=None,
                **self.envelope(),
            )
        )

    def say(self, client_order_id: str, status: ReportStatus, filled: str | None = None, **changes: Any) -> None:
        """Let the venue report on any order by its id."""
        report = self.report(status, filled=filled, **changes)
        self.step(report.model_copy(update={"client_order_id": client_order_id}))

    def fill(self, client_order_id: str, quantity: str, price: str = "100", status: ReportStatus = R.TRADED) -> str:
        """Let an order trade, and return the trade's id."""
        self.trades += 1
        self.say(client_order_id, status, trades=(trade(self.trades, quantity, price),))
        return f"t{self.trades}"

    def enter(self, number: int = 1, quantity: str = "2", **changes: Any) -> None:
        """Let an entry of this number fill in full."""
        self.approve(number, quantity=quantity, **{**PROTECTED, **changes})
        self.say(order_id(number), R.OPEN, "0")
        self.fill(order_id(number), quantity)
        self.say(order_id(number), R.FILLED, quantity)

    def rest(self, stop: str) -> None:
        """Let the venue take a stop."""
        self.say(stop, R.OPEN, "0", venue_order_id="v1")

    def taken_back(self, stop: str, filled: str = "0") -> None:
        """Let the venue answer the cancel of a stop."""
        self.say(stop, R.CANCELLED, filled, source=ReportSource.CANCEL)

    def stops(self) -> list[Submit]:
        """Return every stop that was to be placed so far."""
        return [effect for effect in self.asked if isinstance(effect, Submit) and effect.placing.leg is Leg.PROTECTION]

    def sent(self, number: int) -> Submit | None:
        """Return the sending of an order, none while it waits."""
        sent = [e for e in self.asked if isinstance(e, Submit) and e.placing.venue_id == order_id(number)]
        return sent[0] if sent else None

    def cancels(self) -> list[tuple[str, Reason | None]]:
        """Return every cancel that was asked for."""
        return [(effect.client_order_id, effect.why) for effect in self.asked if isinstance(effect, Cancel)]

    def held(self) -> Decimal:
        assert self.core.portfolio is not None
        return self.core.portfolio.holding(BTC).quantity

    def live(self) -> list[Any]:
        """Return the stops that may be live at the venue."""
        return [record for record in self.core.orders.active() if record.protects is not None]

    def said_of(self, client_order_id: str) -> list[str]:
        return [order.to_state.value for order in self.orders() if order.client_order_id == client_order_id]
