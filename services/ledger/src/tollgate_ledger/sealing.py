"""The one private key of the ledger: it signs seals, and nothing that anybody acts upon."""

import json
import os
import re
from pathlib import Path
from typing import NamedTuple, Self

from nacl.signing import SigningKey

from tollgate_chassis.exits import BadConfiguration, Halt
from tollgate_chassis.settings import read_secret
from tollgate_ledger.seal import LAST_SEAL_FILE, Seal, key_id_of

KEY_FILE = "seal_signing_key"
_SEED = re.compile(r"[0-9a-f]{64}")


class KeptSeal(NamedTuple):
    """A seal as it lies outside the database."""

    seal: Seal
    signature: bytes


class Sealer:
    """Signs seals with Ed25519, and keeps the newest outside the database."""

    def __init__(self, seed: bytes, directory: Path) -> None:
        """Take the 32 bytes of the seed, and the directory of the newest seal's copy."""
        self._key = SigningKey(seed)
        self._directory = directory
        public_key = bytes(self._key.verify_key)
        self.public_key = public_key.hex()
        """Hexadecimal."""
        self.key_id = key_id_of(public_key)

    @classmethod
    def load(cls, path: Path, directory: Path) -> Self:
        """Read the seed, 64 hexadecimal digits; raises ``BadConfiguration`` when it is none."""
        seed = read_secret(path).get_secret_value()
        if not _SEED.fullmatch(seed):
            raise BadConfiguration(
                f"signing key {path}: an Ed25519 seed of 64 lower-case hexadecimal digits is expected; `tollgate up` "
                "makes one, or: openssl rand -hex 32"
            )
        return cls(bytes.fromhex(seed), directory)

    def sign(self, seal: Seal) -> bytes:
        """Return the signature, 64 bytes; the same seal always has the same one."""
        return self._key.sign(seal.signed_bytes()).signature

    def keep(self, seal: Seal, signature: bytes) -> None:
        """Write a copy of the newest seal beside the ledger's own state, where no role of the database can reach.

        By it one sees that the database was put back to an earlier time, its last seals with it. Raises ``Halt``
        rather than to write it over by an older one.
        """
        kept = self.kept()
        if kept is not None and kept.seal.number >= seal.number and kept != (seal, signature):
            raise Halt(
                f"seal {seal.number} was made, and {self._directory / LAST_SEAL_FILE} is of seal {kept.seal.number}"
            )
        beside = self._directory / f"{LAST_SEAL_FILE}.new"
        with beside.open("w") as file:
            json.dump({**seal.fields(), "signature": signature.hex()}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._directory / LAST_SEAL_FILE)

    def kept(self) -> KeptSeal | None:
        """Return the newest seal that was kept, none where there is none; raises ``Halt`` where it cannot be read."""
        path = self._directory / LAST_SEAL_FILE
        try:
            fields = json.loads(path.read_text())
            return KeptSeal(Seal.of(fields), bytes.fromhex(fields["signature"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Halt(f"the last seal, {path}, cannot be read: {error!r}; put a copy of it back") from error
