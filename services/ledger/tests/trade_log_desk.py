"""One ledger in memory, with all the words on its tape that lead to a trade."""

from decimal import Decimal

from tollgate_contracts.approval import SignedText
from tollgate_contracts.execution import Order, OrderState
from tollgate_contracts.marketdata import Instrument, InstrumentStatus
from tollgate_contracts.money import ZERO
from tollgate_contracts.reasons import Finding, Reason
from tollgate_contracts.risk import Decision, Outcome
from tollgate_contracts.strategy import Action, Intent, OrderType, Protection, Purpose, Rationale, Side, TimeInForce
from tollgate_ledger.core import JournalEntry, LedgerCore

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
ENTRY, EXIT, STOP = (f"tg{digit * 30}" for digit in "123")


class Desk:
    """Steps one ledger over a tape, with all the words that lead to a trade, and keeps what came of it."""

    def __init__(self, speak, *, share: str = "0", **balances: str):
        self.speak = speak
        self.core = LedgerCore()
        self.rows = []
        self.entries = []
        self.messages = []
        self.number = 0
        self.put(
            speak.policy(share), speak.config(books_interval_ms=0), speak.account(**(balances or {"USDT": "1000"}))
        )

    def put(self, *messages):
        for message in messages:
            self.messages.append(message)
            for effect in self.core.step(self.core.sequence + 1, message).effects:
                if isinstance(effect, JournalEntry):
                    self.entries.append(effect)
                else:
                    self.rows.append(effect)
        return self

    def of(self, kind):
        return [row for row in self.rows if isinstance(row, kind)]

    def envelope(self, writer: str) -> dict:
        self.number += 1
        now = {"desk": "main", "run_id": "r1", "ts_us": self.speak.start_us, "cycle_id": 7}
        return {"id": f"{writer}:{self.number}:0", "cause": self.number, **now}

    def quote(self, mid: str, symbol: str = "BTC-USDT", **at):
        price = Decimal(mid)
        self.number += 1
        return self.put(
            self.speak.quote(str(price - 1), str(price + 1), symbol=symbol, number=self.number, **at),
        )

    def instrument(self, symbol: str = "BTC-USDT", *, step: str = "0.01", min_notional: str = "5"):
        """Say what the venue takes of a symbol in one order."""
        base, quote = symbol.split("-")
        return self.put(
            Instrument(
                **{**self.envelope("marketdata"), "cause": None},
                venue="simulated",
                symbol=symbol,
                base=base,
                quote=quote,
                tick=Decimal("0.01"),
                step=Decimal(step),
                min_quantity=Decimal(step),
                min_notional=Decimal(min_notional),
                status=InstrumentStatus.OPEN,
                valid_until_us=self.speak.start_us,
                margin=None,
            )
        )

    def ask(self, order: str, side: str, purpose: Purpose = Purpose.ENTRY, *, trigger: str | None = None, **why):
        protection = None
        if trigger is not None:
            protection = Protection(trigger_price=Decimal(trigger), limit_price=Decimal(trigger))
        rationale = {"signal": "ema", "regime": "trend", "tier": "full", **why}
        return self.put(
            Intent(
                **self.envelope("strategy"),
                strategy="momentum",
                action=Action.SUBMIT,
                purpose=purpose,
                client_order_id=order,
                symbol="BTC-USDT",
                side=Side(side),
                order_type=OrderType.LIMIT,
                quantity=Decimal(1),
                limit_price=Decimal(100),
                time_in_force=TimeInForce.GTC,
                post_only=False,
                reduce_only=False,
                expires_us=self.speak.start_us + SECOND_US,
                good_until_us=None,
                replaces=None,
                protection=protection,
                rationale=Rationale(strength=Decimal(12), confidence=Decimal("0.5"), sizing=(), **rationale),
                config_hash="b" * 64,
            )
        )

    def decide(self, order: str, *, rejected_intent: str | None = None):
        finding = Finding(code=Reason.GATE_DRY_RUN, limit="", seen="", unit="")
        approval = SignedText(text="{}", signature="0" * 128, key_id="0" * 16)
        return self.put(
            Decision(
                **self.envelope("risk"),
                intent_id=rejected_intent or "risk:9:9",
                action=Action.SUBMIT,
                client_order_id=order,
                symbol="BTC-USDT",
                outcome=Outcome.REJECTED if rejected_intent else Outcome.APPROVED,
                findings=(finding,) if rejected_intent else (),
                approval=None if rejected_intent else approval,
                config_hash="a" * 64,
            )
        )

    def state(self, order: str, state: OrderState, **changes):
        fields = {"protects": None, "trigger_price": None, **changes}
        return self.put(
            Order(
                **self.envelope("execution"),
                client_order_id=order,
                attempt=1,
                venue_order_id=None,
                intent_id="strategy:1:0",
                symbol="BTC-USDT",
                side=Side.SELL,
                order_type=OrderType.LIMIT,
                time_in_force=TimeInForce.GTC,
                post_only=False,
                reduce_only=True,
                quantity=Decimal(1),
                limit_price=Decimal(1),
                from_state=OrderState.SUBMITTING,
                to_state=state,
                cumulative_quantity=ZERO,
                cumulative_quote=ZERO,
                reason=None,
                detail="",
                config_hash="a" * 64,
                **fields,
            )
        )

    def fill(
        self, order: str, side: str, quantity: str, price: str, fee: str = "0", *, rate: str | None = None, **changes
    ):
        self.number += 1
        named = {"trade_id": f"t{self.number}", "cause": self.number, "fee_rate": rate}
        fill = self.speak.fill(side, quantity, price, fee, **named, **changes)
        fill = fill.model_copy(update={"client_order_id": order})
        self.put(fill)
        return fill
