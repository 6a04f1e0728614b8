"""Keys and passwords: made once, kept in files that only their one reader is told of.

Each process has a directory with its own secrets and nothing else. Whatever exists is left as it is, so that
provisioning twice changes nothing.
"""

import secrets
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import nacl.signing
import nkeys  # type: ignore[import-untyped]  # - the package has no stubs

from tollgate_console.layout import PRIVATE_DIRECTORY, Layout, write_private

NATS_SEED = "nats_seed"
APPROVAL_KEY = "approval_signing_key"
APPROVAL_PUBLIC_KEYS = "approval_public_keys"
SEAL_KEY = "seal_signing_key"
SEAL_PUBLIC_KEYS = "seal_public_keys"
VENUE_KEY = "venue_api_key"
VENUE_SECRET = "venue_api_secret"  # noqa: S105 - the name of a file
POSTGRES_DSN = "postgres_dsn"
POSTGRES_READER_DSN = "postgres_reader_dsn"
POSTGRES_SUPERUSER = "postgres"
# Who signs, and who is told of the public key: risk's approvals are verified by execution, the ledger's seals by
# whoever verifies the books.
_SIGNING_KEYS = (
    (("risk", APPROVAL_KEY), ("execution", APPROVAL_PUBLIC_KEYS)),
    (("ledger", SEAL_KEY), ("reader", SEAL_PUBLIC_KEYS)),
)

# 32 random bytes: the size of an Ed25519 seed, and more than any guessing will reach.
_RANDOM_BYTES = 32


def provision_secrets(layout: Layout, broker_users: tuple[str, ...], database_users: tuple[str, ...]) -> None:
    """Make every secret that is not there yet."""
    for user in broker_users:
        _keep_or_make(layout.secrets(user) / NATS_SEED, _nats_seed)
    for user in (POSTGRES_SUPERUSER, *database_users):
        _keep_or_make(_password_file(layout, user), _random_hex)
    for private, public in _SIGNING_KEYS:
        made = _keep_or_make(layout.secrets(private[0]) / private[1], _random_hex)
        _trust_own(made, layout.secrets(public[0]) / public[1])
    for name in (VENUE_KEY, VENUE_SECRET):
        made = _keep_or_make(layout.secrets("simvenue") / name, _random_hex)
        _write_if_different(layout.secrets("execution") / name, made)
    for directory in layout.root.joinpath("secrets").iterdir():
        if stat.S_IMODE(directory.stat().st_mode) != PRIVATE_DIRECTORY:
            directory.chmod(PRIVATE_DIRECTORY)


def broker_public_key(layout: Layout, user: str) -> str:
    """Return the public nkey of a broker user."""
    seed = (layout.secrets(user) / NATS_SEED).read_text().strip()
    public: bytes = nkeys.from_seed(bytearray(seed.encode())).public_key
    return public.decode()


def read_password(layout: Layout, user: str) -> str:
    """Return the database password of ``user``."""
    return _password_file(layout, user).read_text().strip()


def _password_file(layout: Layout, user: str) -> Path:
    # All in the supervisor's own folder: a service is given its DSN and needs nothing else.
    return layout.secrets("postgres") / f"{user}_password"


def _trust_own(seed: str, path: Path) -> None:
    """Add the public key to those that are trusted; older ones stay, as a change of keys needs both."""
    trust(path, [nacl.signing.SigningKey(bytes.fromhex(seed)).verify_key.encode().hex()])


def trust(path: Path, public_keys: Iterable[str]) -> None:
    """Add public keys, in hexadecimal, to those that are trusted; those that are there already stay where they are."""
    trusted = path.read_text().split() if path.exists() else []
    both = list(dict.fromkeys([*trusted, *public_keys]))
    if both != trusted:
        write_private(path, "".join(f"{key}\n" for key in both))


def _keep_or_make(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        write_private(path, make() + "\n")
    return path.read_text().strip()


def _write_if_different(path: Path, value: str) -> None:
    if not path.exists() or path.read_text().strip() != value:
        write_private(path, value + "\n")


def _random_hex() -> str:
    return secrets.token_hex(_RANDOM_BYTES)


def _nats_seed() -> str:
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(_RANDOM_BYTES), nkeys.PREFIX_BYTE_USER)
    return seed.decode()
