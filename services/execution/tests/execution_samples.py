"""What the tests of execution share: a desk's tape in memory, risk's key, and approvals signed with it."""

import json
from decimal import Decimal
from typing import Any

from nacl.signing import SigningKey

from tollgate_contracts.approval import APPROVAL_DOMAIN, PERMIT_DOMAIN, Approval, SignedText
from tollgate_contracts.codec import decode, encode
from tollgate_contracts.config import Config, canonical_json, config_hash
from tollgate_contracts.core import Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import (
    Bust,
    Fill,
    Liquidity,
    Order,
    Refusal,
    Report,
    ReportSource,
    ReportStatus,
    VenueTrade,
)
from tollgate_contracts.marketdata import Clock, Instrument, InstrumentStatus, Quote, SymbolQuote
from tollgate_contracts.money import install_exact_context
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Account, Balance, Reconcile
from tollgate_contracts.risk import Decision, KillLevel, KillSwitch, Outcome, Policy
from tollgate_execution.core import ExecutionCore, Submit, Watch
from tollgate_execution.core.placing import Placing, attempt_id
from tollgate_execution.core.record import OrderRecord, text_hash
from tollgate_execution.verification import Verifier, key_id_of

install_exact_context()

RISK = SigningKey(b"r" * 32)
STRANGER = SigningKey(b"s" * 32)
START_US = 1_700_000_000_000_000
SECOND_US = 1_000_000
POLICY_HASH = "ab" * 32
SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "AVAX-USDT")


def public_key(key: SigningKey) -> str:
    """Return the public half in hexadecimal."""
    return key.verify_key.encode().hex()


KEY_ID = key_id_of(public_key(RISK))
TRUSTED = {KEY_ID: public_key(RISK)}


def order_id(number: int) -> str:
    """Return a client order id."""
    return f"tg{number:030x}"


def approval_fields(number: int = 1, **changes: Any) -> dict[str, Any]:
    """Return an approval of a buy of 2 BTC at 100 at most, as JSON values."""
    fields: dict[str, Any] = {
        "version": 3,
        "scope": "TRADE",
        "environment": "simulated",
        "desk": "main",
        "venue": "simulated",
        "account": "main",
        "action": "SUBMIT",
        "client_order_id": order_id(number),
        "intent_id": f"strategy:{number}:0",
        "symbol": "BTC-USDT",
        "side": "BUY",
        "order_type": "LIMIT",
        "quantity": "2",
        "limit_price": "100",
        "time_in_force": "IOC",
        "post_only": False,
        "reduce_only": False,
        "issued_us": START_US,
        "expires_us": START_US + 5 * SECOND_US,
        "good_until_us": None,
        "replaces": None,
        "protection": None,
        "policy_hash": POLICY_HASH,
        "kill_epoch": 0,
        "key_id": KEY_ID,
    }
    return {**fields, **changes}


def sign(text: str, key: SigningKey = RISK, domain: bytes = APPROVAL_DOMAIN, key_id: str | None = None) -> SignedText:
    """Sign a text as risk does."""
    signature = key.sign(domain + text.encode()).signature.hex()
    return SignedText(text=text, signature=signature, key_id=key_id or key_id_of(public_key(key)))


def signed_approval(number: int = 1, key: SigningKey = RISK, **changes: Any) -> SignedText:
    """Return a signed approval."""
    return sign(canonical_json(approval_fields(number, **changes)), key)


def signed_permit(number: int, issued_us: int, key: SigningKey = RISK, **changes: Any) -> bytes:
    """Return a signed permit as it travels."""
    fields = {
        "version": 2,
        "scope": "TRADE",
        "desk": "main",
        "number": number,
        "kill_epoch": 0,
        "issued_us": issued_us,
        "expires_us": issued_us + SECOND_US,
        "key_id": KEY_ID,
        **changes,
    }
    return sign(json.dumps(fields), key, PERMIT_DOMAIN).model_dump_json().encode()


def submit_of(signed: SignedText, decision_id: str = "risk:10:0") -> Submit:
    """Return the effect that leads to the sending of an approval."""
    approval = Approval.model_validate_json(signed.text)
    return Submit(decision_id, approval, signed, text_hash(signed.text), Placing.of(approval))


def trade(number: int, quantity: str, price: str = "100", **changes: Any) -> VenueTrade:
    """Return one trade of the venue."""
    fields: dict[str, Any] = {
        "trade_id": f"t{number}",
        "price": Decimal(price),
        "quantity": Decimal(quantity),
        "fee": Decimal("0.1"),
        "fee_currency": "USDT",
        "liquidity": Liquidity.TAKER,
        "venue_ts_us": START_US,
    }
    return VenueTrade(**{**fields, **changes})


def config_message(**changes: Any) -> Config:
    """Return execution's configuration."""
    text = canonical_json(
        {
            "environment": "simulated",
            "desk": "main",
            "venue": "simulated",
            "account": "main",
            "quote_currency": "USDT",
            "symbols": list(SYMBOLS),
            "trusted_keys": TRUSTED,
            "watch": Watch().model_dump(),
            **changes,
        }
    )
    return Config(writer="execution", id="execution:config:1", text=text, hash=config_hash(text), **_ENVELOPE)


_ENVELOPE: dict[str, Any] = {"desk": "main", "run_id": "test", "ts_us": START_US, "cause": None, "cycle_id": 1}


class Desk:
    """A tape in memory with execution's core at its end; every message goes over the wire's form."""

    def __init__(self, *, armed: bool = True) -> None:
        self.core = ExecutionCore(Verifier(TRUSTED).approval)
        self.sequence = 0
        self.now_us = START_US
        self.said: list[Message] = []
        self.asked: list[Any] = []
        self.tape: list[Message] = []
        if armed:
            self.step(config_message())
            self.policy()
            self.account()

    def step(self, message: Message) -> Step:
        """Append a message, step the core, and append what it says."""
        read = decode(encode(message))
        self.sequence += 1
        self.tape.append(read)
        step = self.core.step(self.sequence, read)
        for output in step.outputs:
            self.sequence += 1
            self.tape.append(output)
            assert decode(encode(output)) == output
            assert self.core.step(self.sequence, output).outputs == ()
        self.said.extend(step.outputs)
        self.asked.extend(step.effects)
        return step

    def envelope(self, cause: int | None = None) -> dict[str, Any]:
        """Return envelope fields at the desk's time."""
        return {**_ENVELOPE, "ts_us": self.now_us, "cause": cause}

    def policy(self, policy_hash: str = POLICY_HASH) -> Step:
        """Put a policy in force."""
        return self.step(Policy(id=f"risk:policy:{self.sequence}", text="{}", hash=policy_hash, **self.envelope()))

    def account(self) -> Step:
        """State the account."""
        return self.step(
            Account(
                id=f"execution:simulated:account-{self.sequence}",
                venue="simulated",
                account="main",
                balances=(Balance(currency="USDT", free=Decimal(100_000), locked=Decimal(0)),),
                positions=(),
                maker_fee_bps=Decimal(10),
                taker_fee_bps=Decimal(20),
                venue_ts_us=self.now_us,
                **self.envelope(),
            )
        )

    def quote(self, bid: str, ask: str, symbol: str = "BTC-USDT") -> Step:
        """Quote a symbol."""
        quote = SymbolQuote(
            symbol=symbol,
            bid=Decimal(bid),
            bid_quantity=Decimal(1),
            ask=Decimal(ask),
            ask_quantity=Decimal(1),
            venue_ts_us=self.now_us,
            venue_sequence=self.sequence,
        )
        return self.step(Quote(id=f"marketdata:quote:{self.sequence}", quotes=(quote,), **self.envelope()))

    def instrument(self, tick: str = "0.1") -> Step:
        """State BTC-USDT as an instrument."""
        return self.step(
            Instrument(
                id=f"marketdata:instrument:{self.sequence}",
                venue="simulated",
                symbol="BTC-USDT",
                base="BTC",
                quote="USDT",
                tick=Decimal(tick),
                step=Decimal("0.001"),
                min_quantity=Decimal("0.001"),
                min_notional=Decimal(1),
                status=InstrumentStatus.OPEN,
                valid_until_us=self.now_us + 86_400 * SECOND_US,
                margin=None,
                **self.envelope(),
            )
        )

    def kill(self, epoch: int, *, engaged: bool = True, level: str = "HALT") -> Step:
        """Engage or release the kill switch."""
        return self.step(
            KillSwitch(
                id=f"risk:operator:{self.sequence}",
                engaged=engaged,
                level=KillLevel(level),
                epoch=epoch,
                actor="a",
                reason="r",
                **self.envelope(),
            )
        )

    def wait(self, microseconds: int) -> Step:
        """Let time pass on the tape."""
        self.now_us += microseconds
        return self.step(Clock(id=f"marketdata:clock:1.{self.sequence}", **self.envelope()))

    def decide(self, signed: SignedText, **changes: Any) -> Step:
        """Append risk's decision that carries ``signed``."""
        return self.step(self.decision(signed, **changes))

    def decision(self, signed: SignedText, **changes: Any) -> Decision:
        """Return a decision that repeats the fields of its approval, as risk writes it."""
        try:
            text = json.loads(signed.text)
        except ValueError:
            text = {}
        said = text if isinstance(text, dict) else {}
        usual = approval_fields()
        names = ("intent_id", "action", "client_order_id", "symbol")
        fields = {name: said[name] if _fits(name, said) else usual[name] for name in names}
        message = {
            "kind": "decision",
            "writer": "risk",
            "version": 3,
            "id": f"risk:{self.sequence}:0",
            **self.envelope(max(self.sequence, 1)),
            **fields,
            "outcome": Outcome.APPROVED.value,
            "findings": [],
            "approval": signed.model_dump(),
            "config_hash": POLICY_HASH,
            **changes,
        }
        read = decode(json.dumps(message).encode())
        assert isinstance(read, Decision)
        return read

    def approve(self, number: int = 1, **changes: Any) -> Step:
        """Let risk approve an order now."""
        times = {"issued_us": self.now_us, "expires_us": self.now_us + 5 * SECOND_US}
        return self.decide(signed_approval(number, **{**times, **changes}))

    def report(
        self,
        status: ReportStatus,
        source: ReportSource = ReportSource.STREAM,
        *,
        number: int = 1,
        filled: str | None = None,
        trades: tuple[VenueTrade, ...] = (),
        busted: tuple[str, ...] = (),
        reason: Reason | None = None,
        venue_order_id: str | None = None,
        venue_ts_us: int | None = None,
        attempt: int = 1,
    ) -> Report:
        """Return a report at the desk's time."""
        return Report(
            id=f"execution:simulated:{self.sequence}",
            client_order_id=attempt_id(order_id(number), attempt),
            source=source,
            status=status,
            venue_order_id=venue_order_id,
            cumulative_quantity=None if filled is None else Decimal(filled),
            trades=trades,
            busted=busted,
            reason=reason,
            detail="",
            venue_ts_us=venue_ts_us,
            **self.envelope(),
        )

    def hear(self, *arguments: Any, **changes: Any) -> Step:
        """Put a report on the tape; says first whether it would change anything, and holds the core to it."""
        if self.core.now_us < self.now_us:
            # What is due by the time alone is not the report's doing.
            self.wait(0)
        report = self.report(*arguments, **changes)
        expected = self.core.would_change(report)
        before = json.dumps(self.core.snapshot())
        step = self.step(report)
        assert expected == (bool(step.outputs or step.effects) or json.dumps(self.core.snapshot()) != before)
        return step

    def state(self, number: int = 1) -> str:
        """Return the state of an order."""
        record = self.core.orders.get(order_id(number))
        assert record is not None
        return record.state.value

    def fills(self) -> list[Fill]:
        """Return every fill said so far."""
        return [message for message in self.said if isinstance(message, Fill)]

    def orders(self) -> list[Order]:
        """Return every state change said so far."""
        return [message for message in self.said if isinstance(message, Order)]

    def busts(self) -> list[Bust]:
        """Return every bust said so far."""
        return [message for message in self.said if isinstance(message, Bust)]

    def record(self, number: int = 1) -> OrderRecord:
        """Return the record of an order."""
        record = self.core.orders.get(order_id(number))
        assert record is not None
        return record

    def notes(self) -> list[Reconcile]:
        """Return every difference said so far."""
        return [message for message in self.said if isinstance(message, Reconcile)]

    def refusals(self) -> list[Refusal]:
        """Return every refusal said so far."""
        return [message for message in self.said if isinstance(message, Refusal)]


def _fits(name: str, said: dict[str, Any]) -> bool:
    try:
        Approval.model_validate_json(json.dumps({**approval_fields(), name: said.get(name)}))
    except ValueError:
        return False
    return True
