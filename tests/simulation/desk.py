"""What is the same in every run: risk's key, execution's configuration, and the messages of the services around it.

Signing and verifying are pure, so their results are kept: the same permit is signed once for all runs.
"""

import json
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from nacl.signing import SigningKey

from tollgate_contracts.approval import APPROVAL_DOMAIN, PERMIT_DOMAIN, Approval, SignedText
from tollgate_contracts.codec import encode
from tollgate_contracts.config import canonical_json
from tollgate_contracts.envelope import Message
from tollgate_contracts.marketdata import Clock, Instrument, InstrumentStatus, Quote, SymbolQuote
from tollgate_contracts.money import install_exact_context
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Decision, KillLevel, KillSwitch, Outcome, Policy
from tollgate_contracts.strategy import Action
from tollgate_contracts.subjects import tape_subject
from tollgate_execution.settings import ExecutionSettings, OnStop, config_text
from tollgate_execution.verification import Verifier, key_id_of
from tollgate_simvenue.core.units import units_text

install_exact_context()

START_US = 1_700_000_000_000_000
RISK = SigningKey(b"r" * 32)
PUBLIC_KEY = RISK.verify_key.encode().hex()
KEY_ID = key_id_of(PUBLIC_KEY)
TRUSTED = {KEY_ID: PUBLIC_KEY}
POLICY_HASH = "ab" * 32
DESK = "main"
RUN_ID = "simulation"
SYMBOL = "BTC-USDT"
SYMBOLS = (SYMBOL, "ETH-USDT", "SOL-USDT", "XRP-USDT", "AVAX-USDT")
TICK, STEP = Decimal("0.01"), Decimal("0.001")
PERMIT_LIFE_US = 1_000_000
# More than one run has of anything; a million runs must not fill the memory.
_KEPT = 4_096

# Everything is ten times as fast as on a real desk, so that a run is short; what follows from what is the same.
_WATCH = {
    "unknown_ms": 60,
    "silent_ms": 250,
    "delay_ms_max": 800,
    "probes_max": 5,
    "slow_ms": 1_500,
    "working_ms": 1_200,
    "receive_window_ms": 600,
    "visibility_ms": 400,
    "stale_after_ms": None,
}
_SYNC = {"interval_ms": 700, "say_every_ms": 3_000, "missed_after_ms": 300, "stale_after_ms": 1_500}
_CALLS = {
    "retry_delay_ms": 20,
    "retry_delay_ms_max": 200,
    "retry_time_ms_max": 600,
    "failure_window_ms": 3_000,
    "open_ms": 150,
    "open_ms_max": 1_000,
    "unauthorized_ms": 1_000,
}
_SAFE_MODE = {
    "orders_ms": 400,
    "account_ms": 3_000,
    "stream_ms": 1_500,
    "market_data_ms": None,
    "permit_ms": 1_500,
    "reconciliation_ms": 3_000,
    "recover_ms": 300,
    "check_ms": 100,
}


@cache
def settings(on_stop: OnStop = OnStop.LEAVE) -> ExecutionSettings:
    """Return execution's settings; their state directory is never written to."""
    return ExecutionSettings(
        nats_url="nats://nowhere",
        state_dir=Path(mkdtemp(prefix="tollgate-simulation-")),
        run_id=RUN_ID,
        execution={
            "account_interval_ms": 1_000,
            "watch": _WATCH,
            "sync": _SYNC,
            "calls": _CALLS,
            "safe_mode": _SAFE_MODE,
            "quote_age_ms_max": None,
            "on_stop": on_stop,
            "stop_ms_max": 600,
        },
    )


@cache
def configuration() -> str:
    """Return execution's configuration as it stands on the tape."""
    return config_text(settings(), TRUSTED)


_verifier = Verifier(TRUSTED)


class RememberedVerifier:
    """Says what the real verifier says, and says the same again without calculating."""

    @staticmethod
    @lru_cache(_KEPT)
    def approval(signed: SignedText) -> Reason | None:
        """Say what is wrong with an approval's signature, or nothing."""
        return _verifier.approval(signed)

    @staticmethod
    @lru_cache(_KEPT)
    def permit(signed: SignedText) -> Reason | None:
        """Say what is wrong with a permit's signature, or nothing."""
        return _verifier.permit(signed)


def _sign(text: str, domain: bytes) -> SignedText:
    return SignedText(text=text, signature=RISK.sign(domain + text.encode()).signature.hex(), key_id=KEY_ID)


@lru_cache(_KEPT)
def signed_permit(number: int, issued_us: int, kill_epoch: int, scope: str = "TRADE") -> bytes:
    """Return a permit as it travels."""
    fields = {
        "version": 2,
        "scope": scope,
        "desk": DESK,
        "number": number,
        "kill_epoch": kill_epoch,
        "issued_us": issued_us,
        "expires_us": issued_us + PERMIT_LIFE_US,
        "key_id": KEY_ID,
    }
    return _sign(json.dumps(fields), PERMIT_DOMAIN).model_dump_json().encode()


def order_id(number: int) -> str:
    """Return a client order id."""
    return f"tg{number:030x}"


def approve(**fields: Any) -> tuple[Approval, SignedText]:
    """Return an approval and what risk signed."""
    whole = {
        "version": 3,
        "scope": "TRADE",
        "environment": "simulated",
        "desk": DESK,
        "venue": settings().venue,
        "account": settings().account,
        "action": "SUBMIT",
        "symbol": SYMBOL,
        "order_type": "LIMIT",
        "time_in_force": "GTC",
        "post_only": False,
        "reduce_only": False,
        "good_until_us": None,
        "replaces": None,
        "protection": None,
        "policy_hash": POLICY_HASH,
        "kill_epoch": 0,
        "key_id": KEY_ID,
        **fields,
    }
    text = canonical_json(whole)
    return Approval.model_validate_json(text), _sign(text, APPROVAL_DOMAIN)


Written = tuple[str, bytes, str]
"""Subject, bytes and id of a message, as the tape takes it."""


def written(message: Message) -> Written:
    """Return a message as the tape takes it."""
    return tape_subject(message), encode(message), message.id


def _envelope(now_us: int, cause: int | None = None) -> dict[str, Any]:
    return {"desk": DESK, "run_id": RUN_ID, "ts_us": now_us, "cause": cause, "cycle_id": 1}


@lru_cache(_KEPT)
def clock(number: int, now_us: int) -> Written:
    """Return a tick of the tape's clock."""
    return written(Clock(id=f"marketdata:clock:1.{number}", **_envelope(now_us)))


@cache
def policy() -> Written:
    """Return the policy in force."""
    return written(Policy(id="risk:policy:1", text="{}", hash=POLICY_HASH, **_envelope(START_US)))


@lru_cache(_KEPT)
def instrument(symbol: str = SYMBOL, status: str = "OPEN", number: int = 1, now_us: int = START_US) -> Written:
    """Return a symbol's metadata."""
    base, quote = symbol.split("-")
    return written(
        Instrument(
            id=f"marketdata:instrument-{symbol}:1.{number}",
            venue=settings().venue,
            symbol=symbol,
            base=base,
            quote=quote,
            tick=TICK,
            step=STEP,
            min_quantity=STEP,
            min_notional=Decimal(1),
            status=InstrumentStatus(status),
            valid_until_us=START_US + 3_600_000_000,
            margin=None,
            **_envelope(now_us),
        )
    )


def quote(number: int, now_us: int, bid: int, bid_quantity: int, ask: int, ask_quantity: int) -> Written:
    """Return the newest quote; prices and quantities in the exchange's units."""
    line = SymbolQuote(
        symbol=SYMBOL,
        bid=Decimal(units_text(bid)),
        bid_quantity=Decimal(units_text(bid_quantity)),
        ask=Decimal(units_text(ask)),
        ask_quantity=Decimal(units_text(ask_quantity)),
        venue_ts_us=now_us,
        venue_sequence=number,
    )
    return written(Quote(id=f"marketdata:quote:1.{number}", quotes=(line,), **_envelope(now_us)))


def decision(approval: Approval, signed: SignedText, cause: int, now_us: int) -> Written:
    """Return the decision that carries an approval, written by risk for the message at ``cause``."""
    return written(
        Decision(
            id=f"risk:{cause}:0",
            intent_id=approval.intent_id,
            action=Action(approval.action),
            client_order_id=approval.client_order_id,
            symbol=approval.symbol,
            outcome=Outcome.APPROVED,
            findings=(),
            approval=signed,
            config_hash=POLICY_HASH,
            **_envelope(now_us, cause),
        )
    )


def kill_switch(epoch: int, now_us: int, *, engaged: bool, level: str = "HALT") -> Written:
    """Return an operator's word on the kill switch."""
    return written(
        KillSwitch(
            id=f"risk:operator:{epoch}-{engaged}",
            engaged=engaged,
            level=KillLevel(level),
            epoch=epoch,
            actor="ann",
            reason="drill",
            **_envelope(now_us),
        )
    )
