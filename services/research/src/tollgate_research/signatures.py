"""Risk's signatures in a replay: verified with the public key on the tape, then carried over.

The core writes what is to be signed; the shell holds the private key, which no replay has. Ed25519 signs the same
bytes to the same signature, so a recorded signature that verifies over the replayed text is the one that risk
would make again.
"""

import json

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from tollgate_contracts.approval import APPROVAL_DOMAIN
from tollgate_contracts.envelope import Message
from tollgate_contracts.risk import Decision, Policy


class Signatures:
    """The public key in force, as the policy on the tape names it."""

    def __init__(self) -> None:
        self._key: VerifyKey | None = None

    def learn(self, message: Message) -> None:
        """Take the key from a policy."""
        if isinstance(message, Policy):
            self._key = VerifyKey(bytes.fromhex(json.loads(message.text)["public_key"]))

    def carry_over(self, recorded: Decision, replayed: Decision) -> Decision:
        """Return ``replayed`` with the recorded signature when that one verifies, else as it is."""
        if recorded.approval is None or replayed.approval is None or self._key is None:
            return replayed
        signed = APPROVAL_DOMAIN + replayed.approval.text.encode()
        try:
            self._key.verify(signed, bytes.fromhex(recorded.approval.signature))
        except BadSignatureError:
            return replayed
        approval = replayed.approval.model_copy(update={"signature": recorded.approval.signature})
        return replayed.model_copy(update={"approval": approval})
