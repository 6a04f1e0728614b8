"""Forge approvals by the thousand and hand each to execution's core: ``python -m tests.security.forge``.

The forger knows every genuine approval that risk has signed, may write under risk's name, and has no private key of
risk's. What risk itself did sign, but for another desk, time, policy or epoch, is among the forgeries too. Each must
be refused, for its own reason, and lead to no call of the venue; genuine ones between them must pass, so that the
test can fail.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from nacl.signing import SigningKey

from tollgate_contracts.approval import APPROVAL_DOMAIN, PERMIT_DOMAIN, SignedText
from tollgate_contracts.config import Config, canonical_json, config_hash
from tollgate_contracts.core import Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Refusal
from tollgate_contracts.money import install_exact_context
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Decision, Outcome, Policy
from tollgate_contracts.strategy import Action
from tollgate_execution.core import ExecutionCore, Submit
from tollgate_execution.verification import Verifier, key_id_of

RISK, STRANGER = SigningKey(b"r" * 32), SigningKey(b"s" * 32)
PUBLIC_KEY = RISK.verify_key.encode().hex()
KEY_ID, STRANGER_ID = key_id_of(PUBLIC_KEY), key_id_of(STRANGER.verify_key.encode().hex())
POLICY_HASH = "ab" * 32
START_US, LIFE_US = 1_700_000_000_000_000, 1_500_000
# Of the group of the curve; a signature's second half is a number below it (RFC 8032, 5.1).
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
GENUINE_EVERY = 1_000
# One order in so many is remembered as used long enough to be replayed against.
KEPT_MAX = 500

BAD = Reason.APPROVAL_BAD_SIGNATURE
MISMATCH = Reason.APPROVAL_MISMATCH


@dataclass(frozen=True)
class Forgery:
    """One forged approval, what it is, and the reason that execution must give among others."""

    kind: str
    signed: SignedText
    reason: Reason


def sign(text: str, key: SigningKey = RISK, domain: bytes = APPROVAL_DOMAIN, key_id: str = KEY_ID) -> SignedText:
    """Sign as the holder of ``key``."""
    return SignedText(text=text, signature=key.sign(domain + text.encode()).signature.hex(), key_id=key_id)


class Forger:
    """Makes forgeries from the genuine approvals that it has seen; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - the same seed must make the same forgeries
        self.used: list[SignedText] = []
        self.orders = 0
        self.now_us = START_US
        self._kinds: tuple[Callable[[], Forgery], ...] = (
            self.flipped_character, self.altered_field, self.flipped_signature, self.swapped, self.strangers,
            self.unknown_key, self.permit_tag, self.old_tag, self.malleable, self.stretched, self.replayed,
            self.expired, self.elsewhere, self.ahead, self.long_lived, self.not_an_order,
        )  # fmt: skip

    def fields(self, **changes: Any) -> dict[str, Any]:
        """Return a genuine order of its own, as risk would approve it now."""
        self.orders += 1
        return {
            "version": 3, "scope": "TRADE", "environment": "simulated", "desk": "main", "venue": "simulated",
            "account": "main", "action": "SUBMIT", "client_order_id": f"tg{self.orders:030x}",
            "intent_id": f"strategy:{self.orders}:0", "symbol": "BTC-USDT", "side": "BUY", "order_type": "LIMIT",
            "quantity": str(self.random.randint(1, 999)), "limit_price": "100", "time_in_force": "IOC",
            "post_only": False, "reduce_only": False, "issued_us": self.now_us,
            "expires_us": self.now_us + LIFE_US, "good_until_us": None, "replaces": None,
            "protection": None, "policy_hash": POLICY_HASH, "kill_epoch": 0, "key_id": KEY_ID,
            **changes,
        }  # fmt: skip

    def genuine(self, **changes: Any) -> SignedText:
        """Return an approval that risk has signed and execution has not seen."""
        return sign(canonical_json(self.fields(**changes)))

    def next(self) -> Forgery:
        """Return the next forgery, of a kind drawn at random."""
        return self.random.choice(self._kinds)()

    def flipped_character(self) -> Forgery:
        """One character of the text is another."""
        signed = self.genuine()
        place = self.random.randrange(len(signed.text))
        other = chr(ord(signed.text[place]) ^ self.random.choice((1, 2, 4, 8)))
        text = signed.text[:place] + other + signed.text[place + 1 :]
        return Forgery("one character altered", signed.model_copy(update={"text": text}), BAD)

    def altered_field(self) -> Forgery:
        """A field says what the forger would like."""
        signed = self.genuine()
        changes = {
            "quantity": "1000000", "limit_price": "999999", "side": "SELL", "symbol": "ETH-USDT",
            "expires_us": self.now_us + 10**12, "kill_epoch": 1, "account": "other", "client_order_id": "tg" + "f" * 30,
            "scope": "FLATTEN", "reduce_only": True, "environment": "live",
        }  # fmt: skip
        name = self.random.choice(list(changes))
        text = canonical_json({**json.loads(signed.text), name: changes[name]})
        return Forgery("a field altered", signed.model_copy(update={"text": text}), BAD)

    def flipped_signature(self) -> Forgery:
        """One bit of the signature is another."""
        signed = self.genuine()
        raw = bytearray.fromhex(signed.signature)
        raw[self.random.randrange(64)] ^= 1 << self.random.randrange(8)
        return Forgery("one bit of the signature", signed.model_copy(update={"signature": raw.hex()}), BAD)

    def swapped(self) -> Forgery:
        """A genuine signature of another approval."""
        signed, other = self.genuine(), self.genuine()
        return Forgery("another's signature", signed.model_copy(update={"signature": other.signature}), BAD)

    def strangers(self) -> Forgery:
        """Signed by a stranger who calls himself risk."""
        return Forgery("a stranger's signature", sign(canonical_json(self.fields()), STRANGER), BAD)

    def unknown_key(self) -> Forgery:
        """Signed by a stranger under his own name."""
        text = canonical_json(self.fields(key_id=STRANGER_ID))
        return Forgery("an unknown key", sign(text, STRANGER, key_id=STRANGER_ID), Reason.APPROVAL_UNKNOWN_KEY)

    def permit_tag(self) -> Forgery:
        """Signed by risk, as a permit."""
        return Forgery("signed as a permit", sign(canonical_json(self.fields()), domain=PERMIT_DOMAIN), BAD)

    def old_tag(self) -> Forgery:
        """Signed by risk, as an approval of an older version or without any tag."""
        domain = self.random.choice((b"", b"tollgate/approval/v1\n", b"tollgate/approval/v2"))
        return Forgery("signed under another tag", sign(canonical_json(self.fields()), domain=domain), BAD)

    def malleable(self) -> Forgery:
        """The same signature in its other form, with the group's order added to its second half."""
        signed = self.genuine()
        raw = bytes.fromhex(signed.signature)
        number = int.from_bytes(raw[32:], "little") + GROUP_ORDER
        other = raw[:32] + number.to_bytes(32, "little")
        return Forgery("a malleated signature", signed.model_copy(update={"signature": other.hex()}), BAD)

    def stretched(self) -> Forgery:
        """The text with something before, after or cut off."""
        signed = self.genuine()
        text = self.random.choice((signed.text + " ", " " + signed.text, signed.text[:-1], signed.text + "\0", ""))
        return Forgery("text stretched or cut", signed.model_copy(update={"text": text}), BAD)

    def replayed(self) -> Forgery:
        """An approval that was used before, exactly as it was."""
        if not self.used:
            return self.swapped()
        return Forgery("replayed", self.random.choice(self.used), Reason.APPROVAL_REUSED)

    def expired(self) -> Forgery:
        """Genuine and kept back until its time was over."""
        late_us = self.random.randint(0, 10_000_000)
        end_us = self.now_us - late_us
        signed = self.genuine(issued_us=end_us - LIFE_US, expires_us=end_us)
        return Forgery("expired", signed, Reason.APPROVAL_EXPIRED)

    def elsewhere(self) -> Forgery:
        """Genuine, for another desk, account, venue, environment, policy or symbol."""
        changes = {
            "desk": "other", "account": "other", "venue": "elsewhere", "environment": "live",
            "policy_hash": "cd" * 32, "symbol": "DOGE-USDT",
        }  # fmt: skip
        name = self.random.choice(list(changes))
        return Forgery("of another desk or policy", self.genuine(**{name: changes[name]}), MISMATCH)

    def ahead(self) -> Forgery:
        """Genuine, of another kill epoch: from before the switch was thrown, or made up for after."""
        epoch = self.random.randint(1, 9)
        return Forgery("of another kill epoch", self.genuine(kill_epoch=epoch), Reason.GATE_KILL_SWITCH)

    def long_lived(self) -> Forgery:
        """Genuine, and claims to live longer than any approval may, or was issued in the future."""
        start_us = self.now_us + self.random.choice((0, 1_000_000))
        life_us = LIFE_US if start_us > self.now_us else 10**9
        return Forgery("lives too long", self.genuine(issued_us=start_us, expires_us=start_us + life_us), MISMATCH)

    def not_an_order(self) -> Forgery:
        """Genuine, and no order that a bound can be kept on, or a cancel of nothing."""
        changes = self.random.choice(({"limit_price": None}, {"order_type": "MARKET"}, {"action": "CANCEL"}))
        return Forgery("no order", self.genuine(**changes), MISMATCH)


class Victim:
    """Execution's core on a tape to which the forger may write as risk."""

    def __init__(self) -> None:
        self.core = ExecutionCore(Verifier({KEY_ID: PUBLIC_KEY}).approval)
        self.sequence = 0
        text = canonical_json({
            "environment": "simulated", "desk": "main", "venue": "simulated", "account": "main",
            "quote_currency": "USDT", "symbols": ["BTC-USDT", "ETH-USDT"], "trusted_keys": {KEY_ID: PUBLIC_KEY},
            # As long as the forger remembers what was used; a real desk remembers in its database, for ever.
            "remember_us": 86_400_000_000,
        })  # fmt: skip
        self.step(Config(writer="execution", text=text, hash=config_hash(text), **self._envelope("execution:config")))
        self.step(Policy(text="{}", hash=POLICY_HASH, **self._envelope("risk:policy")))

    def _envelope(self, name: str, now_us: int = START_US) -> dict[str, Any]:
        place = {"desk": "main", "run_id": "forge", "ts_us": now_us, "cause": None, "cycle_id": 1}
        return {"id": f"{name}:{self.sequence}", **place}

    def step(self, message: Message) -> Step:
        """Put a message onto the tape."""
        self.sequence += 1
        return self.core.step(self.sequence, message)

    def present(self, signed: SignedText, now_us: int) -> Step:
        """Let risk, or whoever writes as risk, present an approval."""
        try:
            said = json.loads(signed.text)
            names = {name: said[name] for name in ("intent_id", "action", "client_order_id", "symbol")}
            decision = self._decision(signed, now_us, **{**names, "action": Action(names["action"])})
        except (ValueError, KeyError, TypeError):
            decision = self._decision(
                signed, now_us, intent_id="x", action=Action.SUBMIT, client_order_id="tg" + "0" * 30, symbol="BTC-USDT"
            )
        return self.step(decision)

    def _decision(self, signed: SignedText, now_us: int, **fields: Any) -> Decision:
        rest = {"outcome": Outcome.APPROVED, "findings": (), "approval": signed, "config_hash": POLICY_HASH}
        return Decision(**self._envelope("risk", now_us), **rest, **fields)


def attack(count: int, seed: int) -> Iterator[tuple[Forgery, Step]]:
    """Yield each forgery with what execution did; raises ``AssertionError`` when a genuine approval does not pass."""
    forger, victim = Forger(seed), Victim()
    for number in range(count):
        if number % GENUINE_EVERY == 0:
            forger.now_us += 1_000
            signed = forger.genuine()
            effects = victim.present(signed, forger.now_us).effects
            assert any(isinstance(effect, Submit) for effect in effects), "a genuine approval was refused"
            forger.used = [*forger.used, signed][-KEPT_MAX:]
        forgery = forger.next()
        yield forgery, victim.present(forgery.signed, forger.now_us)


def judge(count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Return how many of each kind were refused for their reason, and what was not."""
    refused: Counter[str] = Counter()
    accepted: list[str] = []
    for forgery, step in attack(count, seed):
        refusals = [output for output in step.outputs if isinstance(output, Refusal)]
        if step.effects or len(refusals) != 1 or len(step.outputs) != 1 or forgery.reason not in refusals[0].codes:
            accepted.append(f"{forgery.kind}: {forgery.signed.text[:300]} -> {step}")
        refused[forgery.kind] += 1
    return refused, accepted


def main() -> None:
    """Forge, and exit 1 when anything was accepted or refused for a wrong reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    install_exact_context()
    began = time.perf_counter()
    refused, accepted = judge(given.count, given.seed)
    for kind, number in sorted(refused.items()):
        sys.stdout.write(f"{number:>9,}  {kind}\n")
    took_s = time.perf_counter() - began
    sys.stdout.write(f"{given.count:,} forgeries in {took_s:,.0f} s (seed {given.seed}), {len(accepted)} not refused\n")
    for line in accepted[:20]:
        sys.stdout.write(f"  {line}\n")
    sys.exit(1 if accepted else 0)


if __name__ == "__main__":
    main()
