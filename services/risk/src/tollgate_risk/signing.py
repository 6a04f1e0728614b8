"""The one private key of the gate: it signs approvals and permits, each behind its own tag."""

import re
from pathlib import Path
from typing import Self

from nacl.signing import SigningKey

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.settings import read_secret
from tollgate_contracts.approval import SignedText
from tollgate_risk.core.policy import key_id_of

KEY_FILE = "approval_signing_key"
_SEED = re.compile(r"[0-9a-fA-F]{64}")
# Of 32 random bytes at least 24 differ in all but one of some billion draws; a typed pattern has a handful.
_DIFFERENT_BYTES_MIN = 16


class Signer:
    """Signs texts with Ed25519; the same text always has the same signature."""

    def __init__(self, seed: bytes) -> None:
        """Take the 32 bytes of the seed."""
        self._key = SigningKey(seed)
        public_key = bytes(self._key.verify_key)
        self.public_key = public_key.hex()
        """Hexadecimal."""
        self.key_id = key_id_of(public_key)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the seed, 64 hexadecimal digits; raises ``BadConfiguration`` when it is none or was made up."""
        seed = read_secret(path).get_secret_value()
        if not _SEED.fullmatch(seed):
            raise BadConfiguration(
                f"signing key {path}: an Ed25519 seed of 64 hexadecimal digits is expected, got {len(seed)} characters "
                "that are not shown; `tollgate up` makes one, or: openssl rand -hex 32"
            )
        content = bytes.fromhex(seed)
        if len(set(content)) < _DIFFERENT_BYTES_MIN:
            raise BadConfiguration(
                f"signing key {path}: only {len(set(content))} different bytes, which is a placeholder and no random "
                "seed; make one: openssl rand -hex 32"
            )
        return cls(content)

    def sign(self, domain: bytes, text: str) -> SignedText:
        """Sign the UTF-8 bytes of ``text`` behind the tag of what it is."""
        signature = self._key.sign(domain + text.encode()).signature
        return SignedText(text=text, signature=signature.hex(), key_id=self.key_id)
