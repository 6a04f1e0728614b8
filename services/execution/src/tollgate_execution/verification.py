"""Whether risk has signed it: Ed25519 over the bytes as they came, behind the tag of what they are.

Nothing here reads the text. A permit's signature never stands for an approval, because their tags differ.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from tollgate_chassis.exits import BadConfiguration
from tollgate_contracts.approval import APPROVAL_DOMAIN, PERMIT_DOMAIN, SignedText
from tollgate_contracts.reasons import Reason

_PUBLIC_KEY = re.compile(r"[0-9a-f]{64}")
_KEY_ID_DIGITS = 16


def key_id_of(public_key: str) -> str:
    """Return the key id of a public key in hexadecimal."""
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:_KEY_ID_DIGITS]


class Verifier:
    """Verifies what the holders of the trusted keys have signed; pure and without state that changes."""

    def __init__(self, trusted_keys: Mapping[str, str]) -> None:
        """Take public keys in hexadecimal by key id, as execution's configuration on the tape has them."""
        self._keys = {key_id: VerifyKey(bytes.fromhex(public_key)) for key_id, public_key in trusted_keys.items()}

    def approval(self, signed: SignedText) -> Reason | None:
        """Say what is wrong with an approval's signature, or nothing."""
        return self._verify(APPROVAL_DOMAIN, signed)

    def permit(self, signed: SignedText) -> Reason | None:
        """Say what is wrong with a permit's signature, or nothing."""
        return self._verify(PERMIT_DOMAIN, signed)

    def _verify(self, domain: bytes, signed: SignedText) -> Reason | None:
        key = self._keys.get(signed.key_id)
        if key is None:
            return Reason.APPROVAL_UNKNOWN_KEY
        try:
            key.verify(domain + signed.text.encode(), bytes.fromhex(signed.signature))
        except (BadSignatureError, ValueError):
            # A text that has no UTF-8 form was never signed, and raises ValueError.
            return Reason.APPROVAL_BAD_SIGNATURE
        return None


def read_public_keys(path: Path) -> dict[str, str]:
    """Return the trusted public keys by key id, one in hexadecimal a line; raises ``BadConfiguration``."""
    try:
        lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"public keys {path} cannot be read: {error}") from error
    wrong = [number for number, line in enumerate(lines, 1) if not _PUBLIC_KEY.fullmatch(line)]
    if wrong or not lines:
        raise BadConfiguration(
            f"public keys {path}: one Ed25519 public key of 64 lower-case hexadecimal digits is expected on each line, "
            f"not so on line(s) {wrong or 'at all'}"
        )
    return {key_id_of(line): line for line in lines}
