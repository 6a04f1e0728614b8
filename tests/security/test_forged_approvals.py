"""The second door: someone who may write under risk's name, but has not its signing key, gets nothing to the venue.

The attacker here holds risk's own broker credentials, so the first door is open to it. Every forgery must end as a
refusal on the tape with its reason, and the venue must know no such order.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from nacl.signing import SigningKey

from tests.conftest import Platform
from tollgate_chassis.tape import LostRace, NatsTape
from tollgate_contracts.approval import APPROVAL_DOMAIN, PERMIT_DOMAIN, Approval, SignedText
from tollgate_contracts.codec import decode, encode
from tollgate_contracts.execution import Refusal
from tollgate_contracts.risk import Decision, Outcome
from tollgate_contracts.subjects import tape_subject, writer_prefix
from tollgate_execution.venues.simulated import SimulatedVenue, VenueKey
from tollgate_venues.adapter import OrderReference

pytestmark = pytest.mark.platform
FRESH_ID = "tg" + "f" * 30


def compact(content: dict[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"))


def altered(genuine: Decision, field: str) -> SignedText:
    """Change one field of a genuine approval and keep its signature."""
    assert genuine.approval is not None
    content = json.loads(genuine.approval.text)
    changes: dict[str, Any] = {
        "version": 1,
        "scope": "FLATTEN",
        "environment": "live",
        "desk": "other",
        "venue": "elsewhere",
        "account": "other",
        "action": "CANCEL",
        "client_order_id": FRESH_ID,
        "intent_id": "strategy:1:0",
        "symbol": "ETH-USDT" if content["symbol"] != "ETH-USDT" else "BTC-USDT",
        "side": "SELL" if content["side"] == "BUY" else "BUY",
        "order_type": "MARKET",
        "quantity": content["quantity"] + "1",
        "limit_price": "999999",
        "time_in_force": "GTC",
        "post_only": not content["post_only"],
        "reduce_only": not content["reduce_only"],
        "issued_us": content["issued_us"] + 1,
        "expires_us": content["expires_us"] + 3_600_000_000,
        "good_until_us": content["expires_us"] + 7_200_000_000,
        "replaces": "tg" + "e" * 30,
        "protection": {"trigger_price": "1", "limit_price": "1"},
        "policy_hash": "0" * 64,
        "kill_epoch": content["kill_epoch"] + 1,
        "key_id": "0" * 16,
    }
    text = compact(content | {field: changes[field]})
    return genuine.approval.model_copy(update={"text": text})


def forgeries(genuine: Decision) -> dict[str, tuple[SignedText, str]]:
    """Return each forged approval with the reason that it must be refused for."""
    assert genuine.approval is not None
    signed = genuine.approval
    stranger = SigningKey(b"7" * 32)
    far = compact(json.loads(signed.text) | {"client_order_id": FRESH_ID, "expires_us": 4_000_000_000_000_000})
    own_key = stranger.sign(APPROVAL_DOMAIN + far.encode()).signature.hex()
    permit_tag = stranger.sign(PERMIT_DOMAIN + far.encode()).signature.hex()
    bad = "approval.bad_signature"

    def of_far(signature: str, key_id: str = signed.key_id) -> SignedText:
        return SignedText(text=far, signature=signature, key_id=key_id)

    found = {f"altered {field}": (altered(genuine, field), bad) for field in Approval.model_fields}
    return found | {
        "signed by a stranger": (of_far(own_key), bad),
        "signed as a permit": (of_far(permit_tag), bad),
        "of an unknown key": (of_far(own_key, "0" * 16), "approval.unknown_key"),
        "with no signature": (of_far("0" * 128), bad),
        "cut short": (signed.model_copy(update={"text": signed.text[:-1]}), bad),
        "genuine and used before": (signed, "approval.reused"),
    }


async def attack(desk: Platform) -> None:
    secrets = desk.state / "secrets"
    url = f"nats://127.0.0.1:{desk.port('nats')}"
    tape = await NatsTape.connect(url, secrets / "risk" / "nats_seed", "main", "risk")
    try:
        genuine = await first_approval(tape)
        cases = forgeries(genuine)
        for number, (signed, _) in enumerate(cases.values()):
            await append_as_risk(tape, genuine, f"risk:forged:{number}", signed)
        reasons = await refusals(tape, [f"risk:forged:{number}" for number in range(len(cases))])
        for (name, (_, expected)), given in zip(cases.items(), reasons, strict=True):
            assert expected in given, f"{name}: {given}"
    finally:
        await tape.close()
    venue = SimulatedVenue(
        desk.url("simvenue"),
        VenueKey(
            (secrets / "execution" / "venue_api_key").read_text().strip(),
            (secrets / "execution" / "venue_api_secret").read_text().strip().encode(),
        ),
    )
    try:
        assert (await venue.query(OrderReference(FRESH_ID, "BTC-USDT", None, 0))).status == "ABSENT"
        orders = {fill.client_order_id for fill in (await venue.fills_since("")).fills}
    finally:
        await venue.close()
    assert FRESH_ID not in orders


async def first_approval(tape: NatsTape) -> Decision:
    """Return the first approved decision of the running platform."""
    async for batch in tape.follow(1):
        for record in batch:
            message = decode(record.data)
            if isinstance(message, Decision) and message.outcome is Outcome.APPROVED:
                return message
    raise AssertionError("the tape ended")


async def append_as_risk(tape: NatsTape, genuine: Decision, message_id: str, signed: SignedText) -> None:
    """Append under risk's name, after whatever risk itself wrote last."""
    content = json.loads(signed.text) if signed.text.endswith("}") else {}
    forged = genuine.model_copy(
        update={
            "id": message_id,
            "cause": None,
            "approval": signed,
            "client_order_id": content.get("client_order_id", genuine.client_order_id),
        }
    )
    while True:
        last = await tape.last_of(writer_prefix("main", "risk"))
        # Risk itself may write between the two.
        with suppress(LostRace):
            await tape.append(tape_subject(forged), encode(forged), message_id, last)
            return


async def refusals(tape: NatsTape, wanted: list[str]) -> list[tuple[str, ...]]:
    """Follow the tape until each decision has been refused."""
    found: dict[str, tuple[str, ...]] = {}
    async with asyncio.timeout(30):
        async for batch in tape.follow(1):
            for record in batch:
                message = decode(record.data)
                if isinstance(message, Refusal):
                    found[message.decision_id] = message.codes
            if set(wanted) <= found.keys():
                return [found[decision_id] for decision_id in wanted]
    raise AssertionError(f"not refused: {sorted(set(wanted) - found.keys())}")


def test_no_forged_altered_or_replayed_approval_reaches_the_venue(platform: Callable[..., Platform]):
    desk = platform()
    desk.start()
    desk.wait_until(lambda: desk.fills() >= 1, "a genuine order", 90)
    asyncio.run(attack(desk))
