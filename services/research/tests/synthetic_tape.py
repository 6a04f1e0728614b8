"""A desk in memory: the real cores on one tape, risk's key, and a venue that answers as it is told."""

import copy
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from nacl.signing import SigningKey

from tollgate_chassis.tape import Record
from tollgate_contracts.approval import APPROVAL_DOMAIN, Approval
from tollgate_contracts.codec import encode
from tollgate_contracts.config import Config, canonical_json, config_hash
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Liquidity, Report, ReportSource, ReportStatus, VenueTrade
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
from tollgate_contracts.money import ZERO, install_exact_context, round_to_places
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Account, Balance
from tollgate_contracts.risk import Decision, KillLevel, KillSwitch, Policy
from tollgate_contracts.strategy import Intent, Side
from tollgate_contracts.subjects import tape_subject
from tollgate_domain.costs import CostModel, FeeTier
from tollgate_execution.core import Cancel, Submit
from tollgate_execution.core.placing import Leg
from tollgate_research.cores import fresh_cores
from tollgate_research.recording import writing
from tollgate_risk.core.policy import key_id_of

install_exact_context()

POLICY_FILE = Path(__file__).parents[3] / "config" / "policy.yaml"
START_US = 1_700_000_000_000_000
COSTS = CostModel(fee_tiers=(FeeTier(volume_from=ZERO, maker_bps=Decimal(5), taker_bps=Decimal(10)),))
KEY = SigningKey(bytes(range(32)))
PUBLIC_KEY = bytes(KEY.verify_key)
SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "AVAX-USDT")
# Nothing that depends on pace stands in the way of a test that lets minutes pass in a few messages.
QUIET: dict[str, Any] = {
    "pace.symbol_cooldown_ms": 0,
    "pace.reducing_symbol_cooldown_ms": 0,
    "pace.after_loss_ms": 0,
    "pace.after_stop_ms": 0,
    "intents.repeat_ms": 0,
    "limits.concentration_bps": "10000",
    "limits.position_units": [{"symbol": symbol, "units": "1000000"} for symbol in SYMBOLS],
}
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
    "cooldown_ms": 100,
    "rejection_backoff_ms": 100,
    "intent_life_ms": 2_000,
    "slippage_bps": "10",
    "target_notional": "1000",
    "order_notional_max": "4000",
    "cash_share_max": "0.5",
    "tiers": [
        {"name": "probe", "above_entry_bps": "0", "multiple": "0.5"},
        {"name": "full", "above_entry_bps": "20", "multiple": "1"},
    ],
}
Answer = Callable[["SyntheticDesk", Approval], list[dict[str, Any]]]
"""What the venue says to a submit: the fields of each report."""


def rules_with(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the shipped rules, paced for tests, with changes such as ``{"limits.open_orders": 1}``."""
    rules: dict[str, Any] = copy.deepcopy(yaml.safe_load(POLICY_FILE.read_text()))
    for path, value in {**QUIET, **changes}.items():
        *sections, key = path.split(".")
        section = rules
        for name in sections:
            section = section[name]
        section[key] = value
    return rules


def fills(desk: "SyntheticDesk", approval: Approval) -> list[dict[str, Any]]:
    """Trade all of it at the touch, in one trade, as a taker."""
    return [
        {"status": ReportStatus.OPEN, "cumulative_quantity": ZERO},
        {
            "status": ReportStatus.FILLED,
            "cumulative_quantity": approval.quantity,
            "trades": (desk.trade(approval, approval.quantity),),
        },
    ]


def keeps_working(_desk: "SyntheticDesk", _approval: Approval) -> list[dict[str, Any]]:
    """Take it, and trade nothing."""
    return [{"status": ReportStatus.OPEN, "cumulative_quantity": ZERO}]


def rejects(_desk: "SyntheticDesk", _approval: Approval) -> list[dict[str, Any]]:
    """Take nothing."""
    return [{"status": ReportStatus.REJECTED, "reason": Reason.VENUE_REJECTED, "detail": "insufficient balance"}]


def says_nothing(_desk: "SyntheticDesk", _approval: Approval) -> list[dict[str, Any]]:
    """Leave the submit without an answer."""
    return [{"status": ReportStatus.NO_ANSWER, "reason": Reason.VENUE_UNKNOWN_OUTCOME, "detail": "timeout"}]


class SyntheticDesk:
    """Appends a message, steps every core, and appends what they write, as the services would."""

    def __init__(self, answer: Answer = fills) -> None:
        self.cores = fresh_cores()
        self.records: list[Record] = []
        self.messages: list[Message] = []
        self.now_us = START_US
        self.cycle_id = 1
        self.answer = answer
        self.touch: dict[str, tuple[Decimal, Decimal]] = {}
        self._named = 0

    def open(self, rules: dict[str, Any] | None = None, cash: str = "100000", **knobs: Any) -> "SyntheticDesk":
        """Bring the desk to where a jump of BTC, quoted at 100, makes the strategy buy."""
        self.policy(rules)
        identity = {"desk": "main", "venue": "simulated", "account": "main", "quote_currency": "USDT"}
        self.config("strategy", {**identity, "symbols": list(SYMBOLS), "knobs": {**KNOBS, **knobs}})
        trusted = {key_id_of(PUBLIC_KEY): PUBLIC_KEY.hex()}
        self.config(
            "execution",
            {**identity, "environment": "simulated", "symbols": list(SYMBOLS), "trusted_keys": trusted},
        )
        self.account(cash)
        fields = {"venue": "simulated", "state": FeedState.UP, "transport": FeedTransport.WEBSOCKET, "detail": ""}
        self.say(Feed, "marketdata", **fields)
        for symbol in SYMBOLS:
            self.instrument(symbol)
        self.quote("100", "BTC-USDT", "ETH-USDT")
        return self

    def say(self, kind: type[Message], source: str, /, **fields: Any) -> None:
        """Append an outside event and all that follows from it."""
        self._named += 1
        self.append(
            kind(
                id=f"{source}:test:{self._named}",
                desk="main",
                run_id="r1",
                ts_us=self.now_us,
                cause=None,
                cycle_id=self.cycle_id,
                **fields,
            )
        )

    def append(self, message: Message) -> None:
        """Append one message, and breadth first what the cores and the venue answer."""
        waiting = deque([message])
        while waiting:
            said = waiting.popleft()
            sequence = len(self.records) + 1
            self.messages.append(said)
            # The broker stores each message 50 us after the one before it.
            stored_us = max(said.ts_us, self.records[-1].stored_us if self.records else 0) + 50
            self.records.append(Record(sequence, tape_subject(said), said.id, encode(said), {}, stored_us))
            for core in self.cores.values():
                step = core.step(sequence, said)
                waiting.extend(_signed(output) for output in step.outputs)
                for effect in step.effects:
                    waiting.extend(self._answers(effect))

    def policy(self, rules: dict[str, Any] | None = None, tightens: str | None = None) -> str:
        """Put a policy in force and return its hash."""
        text = canonical_json(
            {
                "version": 3,
                "environment": "simulated",
                "desk": "main",
                "venue": "simulated",
                "account": "main",
                "quote_currency": "USDT",
                "symbols": list(SYMBOLS),
                "public_key": PUBLIC_KEY.hex(),
                "key_id": key_id_of(PUBLIC_KEY),
                "tightens": tightens,
                "costs": COSTS.model_dump(mode="json"),
                "rules": rules_with(rules or {}),
            }
        )
        self.say(Policy, "risk", text=text, hash=config_hash(text))
        return config_hash(text)

    def config(self, writer: str, content: dict[str, Any]) -> None:
        text = canonical_json(content)
        self.say(Config, writer, writer=writer, text=text, hash=config_hash(text))

    def account(self, cash: str) -> None:
        balance = Balance(currency="USDT", free=Decimal(cash), locked=ZERO)
        self.say(
            Account,
            "execution",
            venue="simulated",
            account="main",
            balances=(balance,),
            positions=(),
            maker_fee_bps=Decimal(5),
            taker_fee_bps=Decimal(10),
            venue_ts_us=self.now_us,
        )

    def instrument(self, symbol: str) -> None:
        base, quote = symbol.split("-")
        self.say(
            Instrument,
            "marketdata",
            venue="simulated",
            symbol=symbol,
            base=base,
            quote=quote,
            tick=Decimal("0.01"),
            step=Decimal("0.001"),
            min_quantity=Decimal("0.001"),
            min_notional=Decimal(5),
            status=InstrumentStatus.OPEN,
            valid_until_us=self.now_us + 86_400_000_000,
            margin=None,
        )

    def quote(self, mid: str, *symbols: str, milliseconds: int = 100) -> list[Message]:
        """Quote one tick either side of ``mid``; return what is new on the tape."""
        self.now_us += milliseconds * 1_000
        before = len(self.messages)
        lines = []
        for symbol in symbols or ("BTC-USDT",):
            bid, ask = Decimal(mid) - Decimal("0.01"), Decimal(mid) + Decimal("0.01")
            self.touch[symbol] = (bid, ask)
            lines.append(
                SymbolQuote(
                    symbol=symbol,
                    bid=bid,
                    bid_quantity=Decimal(1),
                    ask=ask,
                    ask_quantity=Decimal(1),
                    venue_ts_us=self.now_us - 3_000,
                    venue_sequence=len(self.records),
                )
            )
        self.say(Quote, "marketdata", quotes=tuple(lines))
        return self.messages[before:]

    def wait(self, milliseconds: int) -> None:
        """Let time pass on the tape, in a new cycle."""
        self.now_us += milliseconds * 1_000
        self.cycle_id += 1
        self.say(Clock, "marketdata")

    def kill(self, level: KillLevel, epoch: int = 1, *, engaged: bool = True) -> KillSwitch:
        """Engage or release the kill switch."""
        self.say(
            KillSwitch, "risk", engaged=engaged, level=level, epoch=epoch, actor="anna", reason="prices look wrong"
        )
        return next(message for message in reversed(self.messages) if isinstance(message, KillSwitch))

    def trade(self, approval: Approval, quantity: Decimal, name: str = "") -> VenueTrade:
        """Return a trade of the approval at the touch, at 10 bps."""
        bid, ask = self.touch[approval.symbol]
        price = ask if approval.side is Side.BUY else bid
        return VenueTrade(
            trade_id=name or f"sim-{len(self.records)}",
            price=price,
            quantity=quantity,
            fee=round_to_places(price * quantity / 1_000, 8),
            fee_currency="USDT",
            liquidity=Liquidity.TAKER,
            venue_ts_us=self.now_us + 2_000,
        )

    def buy(self, mid: str = "101") -> Intent:
        """Let the price jump so that the strategy writes an intent, and return it."""
        return next(message for message in self.quote(mid) if isinstance(message, Intent))

    def write(self, path: Path) -> Path:
        """Write the tape as ``tollgate record`` does."""
        with writing(path, "main") as writer:
            writer.tape(self.records)
        return path

    def _answers(self, effect: Any) -> list[Message]:
        if isinstance(effect, Submit):
            # A protective stop rests until a test lets it trade.
            answer = self.answer if effect.placing.leg is Leg.ORDER else keeps_working
            said = answer(self, effect.approval)
            return [self.report(effect.placing.venue_id, ReportSource.SUBMIT, each) for each in said]
        if isinstance(effect, Cancel):
            fields = {"status": ReportStatus.CANCELLED, "cumulative_quantity": ZERO}
            return [self.report(effect.client_order_id, ReportSource.CANCEL, fields)]
        return []

    def report(self, venue_id: str, source: ReportSource, fields: dict[str, Any]) -> Report:
        """Return what the venue says of an order that it knows by this id."""
        self._named += 1
        self.now_us += 1_000
        given = {"cumulative_quantity": None, "trades": (), "busted": (), "reason": None, "detail": "", **fields}
        return Report(
            id=f"execution:test:{self._named}",
            desk="main",
            run_id="r1",
            ts_us=self.now_us,
            cause=None,
            cycle_id=self.cycle_id,
            client_order_id=venue_id,
            source=source,
            venue_order_id=f"V-{venue_id[-6:]}",
            venue_ts_us=self.now_us,
            **given,
        )


def _signed(message: Message) -> Message:
    if not isinstance(message, Decision) or message.approval is None:
        return message
    signature = KEY.sign(APPROVAL_DOMAIN + message.approval.text.encode()).signature.hex()
    return message.model_copy(update={"approval": message.approval.model_copy(update={"signature": signature})})
