"""What one decision of the gate costs: every gate on, as orders and positions grow, and as history does.

Only the core is timed, from the intent to the decision with its approval as text; the signature is the shell's and is
measured with the segments of ``latency``. A decision that follows a quote pays for what the quote has changed.
"""

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from tests.bench.results import Result, median, percentile, show
from tollgate_contracts.config import canonical_json, config_hash
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Fill, Liquidity, Order, OrderState, VenueTrade
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
from tollgate_contracts.reconciliation import Account, Balance
from tollgate_contracts.risk import Decision, Outcome, Policy
from tollgate_contracts.strategy import Action, Intent, OrderType, Purpose, Rationale, Side, TimeInForce
from tollgate_domain.costs import CostModel
from tollgate_risk.core import RiskCore
from tollgate_risk.core.policy import key_id_of

POLICY = Path("config/policy.yaml")
# As many as a policy may name is 64; a hundred orders are then two in each.
SYMBOLS = tuple(f"C{number:02}-USDT" for number in range(50))
OPEN = (1, 10, 100)
HISTORY = (1_000, 100_000)
_START_US = 1_700_000_000_000_000
_KEY = bytes(range(32))
_EVERY_US = 250_000
_WHY = Rationale(signal="s", regime="r", strength=Decimal(1), confidence=Decimal(1), tier="t", sizing=())


class Bench:
    """One gate under a policy in which every gate is on and none stands in the way."""

    def __init__(self) -> None:
        self.core = RiskCore()
        self.now_us, self.sequence, self.cycle_id, self._named = _START_US, 0, 1, 0
        self.policy()
        self.step(self.account())
        self.step(
            Feed(
                **self.envelope("marketdata"),
                venue="simulated",
                state=FeedState.UP,
                transport=FeedTransport.WEBSOCKET,
                detail="",
            )
        )
        for symbol in SYMBOLS:
            self.step(self.instrument(symbol))
        self.step(self.quote(SYMBOLS))

    def step(self, message: Message) -> tuple[Message, ...]:
        """Step the gate with a message."""
        self.sequence += 1
        return self.core.step(self.sequence, message).outputs

    def envelope(self, service: str) -> dict[str, Any]:
        """Return what every message carries."""
        self._named += 1
        return {
            "id": f"{service}:bench:{self._named}",
            "desk": "main",
            "run_id": "r1",
            "ts_us": self.now_us,
            "cause": None,
            "cycle_id": self.cycle_id,
        }

    def policy(self) -> None:
        """Put the shipped policy in force, with room for a hundred orders and every gate at work."""
        rules = yaml.safe_load(POLICY.read_text())
        symbols = list(SYMBOLS)
        rules["universe"]["allowed"] = symbols
        rules["limits"] |= {
            "position_units": [{"symbol": symbol, "units": "1000000"} for symbol in symbols],
            "gross_exposure": "100000000",
            "net_exposure": "100000000",
            "position_notional": "1000000",
            "cycle_notional": "100000000",
            "concentration_bps": "5000",
            "groups": [
                {"name": f"g{number}", "symbols": symbols[number::4], "exposure": "100000000"} for number in range(4)
            ],
            "open_orders": 1_000,
            "open_orders_symbol": 1_000,
            "orders_per_cycle": 1_000,
        }
        rules["pace"] |= {"orders_per_hour": 1_000_000, "orders_per_day": 1_000_000, "global_spacing_ms": 1}
        # The bench's venue fills nothing and states its account once: a mode is not what is measured.
        rules["modes"]["conditions"] |= {"no_fills": None, "reconciliation_lag": None}
        document = {
            "version": 3,
            "environment": "simulated",
            "desk": "main",
            "venue": "simulated",
            "account": "main",
            "quote_currency": "USDT",
            "symbols": symbols,
            "public_key": _KEY.hex(),
            "key_id": key_id_of(_KEY),
            "tightens": None,
            "costs": CostModel().model_dump(mode="json"),
            "rules": rules,
        }
        text = canonical_json(document)
        self.step(Policy(**self.envelope("risk"), text=text, hash=config_hash(text)))

    def account(self) -> Account:
        """Return an account with money enough."""
        cash = Balance(currency="USDT", free=Decimal(10_000_000), locked=Decimal(0))
        return Account(
            **self.envelope("execution"),
            venue="simulated",
            account="main",
            balances=(cash,),
            positions=(),
            maker_fee_bps=Decimal(10),
            taker_fee_bps=Decimal(20),
            venue_ts_us=self.now_us,
        )

    def instrument(self, symbol: str) -> Instrument:
        """Return metadata that is valid for long."""
        return Instrument(
            **self.envelope("marketdata"),
            venue="simulated",
            symbol=symbol,
            base=symbol.partition("-")[0],
            quote="USDT",
            tick=Decimal("0.01"),
            step=Decimal("0.001"),
            min_quantity=Decimal("0.01"),
            min_notional=Decimal(5),
            status=InstrumentStatus.OPEN,
            valid_until_us=self.now_us + 10**14,
            margin=None,
        )

    def quote(self, symbols: tuple[str, ...]) -> Quote:
        """Return a quote that has moved by a tick, of the symbols given."""
        mark = Decimal(100) + Decimal(self._named % 7).scaleb(-2)
        lines = tuple(
            SymbolQuote(
                symbol=symbol,
                bid=mark - Decimal("0.01"),
                bid_quantity=Decimal(1),
                ask=mark + Decimal("0.01"),
                ask_quantity=Decimal(1),
                venue_ts_us=self.now_us,
                venue_sequence=self._named,
            )
            for symbol in symbols
        )
        return Quote(**self.envelope("marketdata"), quotes=lines)

    def intent(self, number: int) -> Intent:
        """Return a resting buy below the market, in one symbol after the other."""
        envelope = {**self.envelope("strategy"), "cause": max(self.sequence, 1)}
        return Intent(
            **envelope,
            strategy="momentum",
            action=Action.SUBMIT,
            purpose=Purpose.ENTRY,
            client_order_id=f"tg{self._named:030x}",
            symbol=SYMBOLS[number % len(SYMBOLS)],
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            quantity=Decimal("1.5"),
            limit_price=Decimal("99.95"),
            time_in_force=TimeInForce.GTC,
            post_only=True,
            reduce_only=False,
            expires_us=self.now_us + 2_000_000,
            good_until_us=None,
            replaces=None,
            protection=None,
            rationale=_WHY,
            config_hash="c" * 64,
        )

    def decide(self, number: int) -> tuple[Intent, Decision, float]:
        """Decide one intent and return what it took, in microseconds."""
        intent = self.intent(number)
        self.sequence += 1
        began = time.perf_counter_ns()
        outputs = self.core.step(self.sequence, intent).outputs
        took_us = (time.perf_counter_ns() - began) / 1_000
        decision = outputs[0]
        if not isinstance(decision, Decision) or decision.outcome is not Outcome.APPROVED:
            raise AssertionError(f"the bench is about approvals, and got {decision}")
        return intent, decision, took_us

    def tick(self) -> None:
        """Let a cycle pass and quote everything."""
        self.now_us += _EVERY_US
        self.cycle_id += 1
        self.step(Clock(**self.envelope("marketdata")))
        self.step(self.quote(SYMBOLS))

    def end(self, intent: Intent) -> None:
        """Cancel an order at the venue."""
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
                post_only=intent.post_only,
                reduce_only=intent.reduce_only,
                quantity=intent.quantity,
                limit_price=intent.limit_price,
                attempt=1,
                protects=None,
                trigger_price=None,
                from_state=OrderState.CANCELLING,
                to_state=OrderState.CANCELLED,
                cumulative_quantity=Decimal(0),
                cumulative_quote=Decimal(0),
                reason=None,
                detail="",
                config_hash="0" * 64,
            )
        )

    def hold(self, number: int) -> None:
        """Put a position into the gate's books."""
        trade = VenueTrade(
            trade_id=f"t{self._named}",
            price=Decimal(100),
            quantity=Decimal(2),
            fee=Decimal(0),
            fee_currency="USDT",
            liquidity=Liquidity.TAKER,
            venue_ts_us=self.now_us,
        )
        self.step(
            Fill(
                **self.envelope("execution"),
                client_order_id="tg" + "f" * 30,
                symbol=SYMBOLS[number % len(SYMBOLS)],
                side=Side.BUY,
                trade=trade,
                fee_rate=None,
                fee_rate_source="",
                config_hash="0" * 64,
            )
        )


def measure(decisions: int, history: tuple[int, ...] = HISTORY) -> list[Result]:
    """Time ``decisions`` decisions at each size, and again after so many have been decided as ``history`` says."""
    results = []
    for count in OPEN:
        for label, quoted in (("", 0), (".after_quote", 1), (".after_quotes", len(SYMBOLS))):
            spent = _at(count, quoted, decisions)
            note = f"{count} open orders and positions; {_quoted(quoted)}; p99 {percentile(spent, 99):.0f}"
            results.append(Result(f"decisions.open_{count}{label}", median(spent), "us/intent", None, note))
    for passed, spent, size in _grown(decisions, history):
        note = f"10 open; p99 {percentile(spent, 99):.0f}; snapshot {size:,} bytes"
        results.append(Result(f"decisions.after_{passed}", median(spent), "us/intent", None, note))
    rows = [(result.name, result.value, result.note) for result in results]
    show("Decisions of the gate, all gates on, signature excluded", ("what", "median us", "note"), rows)
    return results


def _quoted(symbols: int) -> str:
    return f"a quote of {symbols} symbols before each" if symbols else "no quote between"


def _filled(count: int) -> Bench:
    bench = Bench()
    for number in range(count):
        bench.hold(number)
        bench.decide(number)
        bench.tick()
    return bench


def _at(count: int, quoted: int, decisions: int) -> list[float]:
    """Return what decisions take with ``count`` orders and positions; each order is over before the next is asked."""
    bench, spent = _filled(count - 1), []
    bench.hold(count - 1)
    for number in range(decisions):
        bench.tick()
        # What the clock and the quotes of the cycle have left to do is done; only the next quotes are the decision's.
        bench.core.state.exposure_in_all()
        if quoted:
            bench.step(bench.quote(SYMBOLS[:quoted]))
        intent, _, took_us = bench.decide(number)
        spent.append(took_us)
        bench.end(intent)
    return spent


def _grown(decisions: int, history: tuple[int, ...]) -> Iterator[tuple[int, list[float], int]]:
    """Yield what decisions take after more and more have been decided, and how large the state is by then."""
    bench, passed = _filled(10), 0
    for wanted in history:
        spent: list[float] = []
        while passed < wanted:
            bench.tick()
            for _ in range(4):
                bench.now_us += 1_000
                intent, _, took_us = bench.decide(passed)
                bench.end(intent)
                spent.append(took_us)
                passed += 1
        yield passed, spent[-decisions:], len(json.dumps(bench.core.snapshot()))
