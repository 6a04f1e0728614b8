"""Has every process its secrets and nobody else's, are they real, and do those that belong together match?

What is found is told by name and never by content.
"""

import stat
import time
from pathlib import Path
from urllib.parse import urlsplit

import nacl.exceptions
import nacl.signing
import nkeys  # type: ignore[import-untyped]  # - the package has no stubs

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.operators import TOKENS_FILE, TokenEntry, TokenScope
from tollgate_chassis.settings import read_secret
from tollgate_console.doctor.checks.area import Area
from tollgate_console.doctor.checks.configuration import one_line
from tollgate_console.doctor.patient import Patient
from tollgate_console.doctor.report import CheckResult
from tollgate_console.exits import ConsoleError
from tollgate_console.layout import PRIVATE_DIRECTORY, PRIVATE_FILE, Layout
from tollgate_console.provision import keys
from tollgate_console.provision.database import DATABASE_LOGINS
from tollgate_console.provision.keys import broker_public_key
from tollgate_console.provision.permissions import read_table
from tollgate_console.provision.tokens import DOORS, FIRST_DAYS, day_of, list_tokens, token_list_file

AREA = Area("credentials")
_OTHERS = 0o077
# Without these risk and execution refuse to start; others a desk may have taken back on purpose.
_NEEDED = (TokenScope.KILL, TokenScope.RELEASE)
_NOTICE_US = 14 * 86_400_000_000
# As many characters as provisioning makes of 16 random bytes; what is shorter was typed by hand.
_PASSWORD_LENGTH_MIN = 32
# The secrets of each process but its seed at the broker; it may have these and no other's.
_OWN: dict[str, tuple[str, ...]] = {
    "risk": (keys.APPROVAL_KEY, TOKENS_FILE),
    "execution": (keys.APPROVAL_PUBLIC_KEYS, keys.VENUE_KEY, keys.VENUE_SECRET, keys.POSTGRES_DSN, TOKENS_FILE),
    "ledger": (keys.SEAL_KEY, keys.POSTGRES_DSN, keys.POSTGRES_READER_DSN, TOKENS_FILE),
    "reader": (keys.SEAL_PUBLIC_KEYS, keys.POSTGRES_DSN),
    "simvenue": (keys.VENUE_KEY, keys.VENUE_SECRET),
    "postgres": tuple(f"{user}_password" for user in (keys.POSTGRES_SUPERUSER, *DATABASE_LOGINS)),
}
_DSN = (keys.POSTGRES_DSN, keys.POSTGRES_READER_DSN)
_RANDOM = (keys.APPROVAL_KEY, keys.SEAL_KEY, keys.VENUE_KEY, keys.VENUE_SECRET)
_AGAIN = "stop the platform and start it again, which makes what is missing"


async def check_credentials(patient: Patient) -> list[CheckResult]:
    """Report on each process's secrets, on the pairs of keys, and on the operators' tokens."""
    layout = patient.layout
    if not (layout.root / "secrets").is_dir():
        return [AREA.skipped("secrets", f"{layout.root / 'secrets'} is not there; `tollgate up` makes it")]
    users = [user.name for user in read_table(patient.deployment / "nats" / "permissions.toml", patient.desk or "main")]
    expected = {name: set(_OWN.get(name, ())) for name in (*users, *_OWN)}
    for user in users:
        expected[user].add(keys.NATS_SEED)
    results = [_check_process(layout, name, names) for name, names in sorted(expected.items())]
    pairs = [
        _check_pair("approval keys", layout.secrets("risk") / keys.APPROVAL_KEY,
                    layout.secrets("execution") / keys.APPROVAL_PUBLIC_KEYS),
        _check_pair("seal keys", layout.secrets("ledger") / keys.SEAL_KEY,
                    layout.secrets("reader") / keys.SEAL_PUBLIC_KEYS),
    ]  # fmt: skip
    return [*results, *pairs, _check_venue_keys(layout), _check_broker_keys(layout, users), *_check_tokens(layout)]


def _check_process(layout: Layout, name: str, expected: set[str]) -> CheckResult:
    directory = layout.secrets(name)
    try:
        there = {path.name: path for path in directory.iterdir()}
    except OSError as error:
        return AREA.failed(name, f"{directory} cannot be read: {error.strerror}", _AGAIN)
    open_to_others = _open_to_others(directory, PRIVATE_DIRECTORY)
    for path in there.values():
        open_to_others += _open_to_others(path, PRIVATE_FILE)
    if open_to_others:
        return AREA.failed(name, "; ".join(open_to_others), "chmod as expected, and change what others may have read")
    missing = [f"{directory / each} is missing" for each in sorted(expected - there.keys())]
    if missing:
        return AREA.failed(name, "; ".join(missing), _AGAIN)
    foreign = [f"{there[each]} is not for {name}" for each in sorted(there.keys() - expected)]
    if any(each in {keys.NATS_SEED, *sum(_OWN.values(), ())} for each in there.keys() - expected):
        return AREA.failed(name, "; ".join(foreign), "remove it there, and change that secret")
    made_up = [words for each in sorted(expected) if (words := _made_up(there[each]))]
    if made_up:
        return AREA.failed(name, "; ".join(made_up), "put a real one there")
    if foreign:
        return AREA.warned(name, "; ".join(foreign), "remove it, if nobody knows what it is for")
    return AREA.passed(name, f"all it needs is there, for its eyes only ({', '.join(sorted(expected))})")


def _open_to_others(path: Path, expected: int) -> list[str]:
    mode = stat.S_IMODE(path.stat().st_mode)
    return [f"{path} has mode {mode:04o}, expected {expected:04o}"] if mode & _OTHERS else []


def _made_up(path: Path) -> str:
    """Return what is wrong with the content of a secret, in words that do not show it; empty where nothing is."""
    if path.name in _RANDOM:
        try:
            read_secret(path)
        except BadConfiguration as error:
            return error.why
    elif path.name == keys.NATS_SEED:
        try:
            nkeys.from_seed(bytearray(path.read_bytes().strip()))
        except (nkeys.NkeysError, ValueError):
            return f"{path} is no seed of a broker's key"
    elif path.name in _DSN or path.name.endswith("_password"):
        text = path.read_text().strip()
        if len(_password_of(text) if path.name in _DSN else text) < _PASSWORD_LENGTH_MIN:
            return f"{path} has no password, or one that was typed by hand"
    return ""


def _password_of(dsn: str) -> str:
    try:
        return urlsplit(dsn).password or ""
    except ValueError:
        return ""


def _check_pair(name: str, private: Path, public: Path) -> CheckResult:
    try:
        key = nacl.signing.SigningKey(bytes.fromhex(private.read_text().strip()))
        trusted = public.read_text().split()
    except OSError as error:
        return AREA.failed(name, f"{error.filename} cannot be read: {error.strerror}", _AGAIN)
    except (ValueError, nacl.exceptions.CryptoError):
        return AREA.failed(name, f"{private} is no Ed25519 seed of 64 hexadecimal digits", "put a real one there")
    wrong = [] if key.verify_key.encode().hex() in trusted else [f"{public} does not have the public key of {private}"]
    do = "follow docs/runbook.md#change-of-keys; until then what is signed is refused"
    return AREA.decided(name, wrong, f"{public.parent.name} trusts the key of {private.parent.name}", do)


def _check_venue_keys(layout: Layout) -> CheckResult:
    check, names = "venue keys", (keys.VENUE_KEY, keys.VENUE_SECRET)
    try:
        same = all(
            (layout.secrets("simvenue") / name).read_text() == (layout.secrets("execution") / name).read_text()
            for name in names
        )
    except OSError as error:
        return AREA.failed(check, f"{error.filename} cannot be read: {error.strerror}", _AGAIN)
    if same:
        return AREA.passed(check, "execution has the key that the simulated exchange knows")
    do = "nothing, where execution trades at another venue; else start the platform again"
    return AREA.warned(check, "execution and the simulated exchange have different keys", do)


def _check_broker_keys(layout: Layout, users: list[str]) -> CheckResult:
    check = "broker keys"
    try:
        rendered = layout.broker_config.read_text()
    except OSError as error:
        return AREA.skipped(check, f"{layout.broker_config} cannot be read: {error.strerror}")
    unknown = []
    for user in users:
        try:
            known = broker_public_key(layout, user) in rendered
        except (OSError, nkeys.NkeysError, ValueError):
            known = False
        if not known:
            unknown.append(f"the broker's configuration does not have the key of {user}")
    return AREA.decided(
        check, unknown, f"the broker knows the keys of all {len(users)} users", "start the broker again"
    )


def _check_tokens(layout: Layout) -> list[CheckResult]:
    try:
        rows = list_tokens(layout)
        text = token_list_file(layout).read_text()
    except ConsoleError as error:
        return [AREA.failed("tokens", one_line(error.what), "mend the list of operators' tokens")]
    now_us = time.time_ns() // 1_000
    results = [_check_scope(scope, [token for token, _ in rows], now_us) for scope in TokenScope]
    stale = [f"{layout.secrets(door) / TOKENS_FILE} is not the desk's list" for door in DOORS
             if not _is_same(layout.secrets(door) / TOKENS_FILE, text)]  # fmt: skip
    said = "risk, execution and ledger have the desk's list"
    return [
        *results,
        AREA.decided("token lists", stale, said, "`tollgate up`, or any change of a token, writes it anew"),
    ]


def _is_same(path: Path, text: str) -> bool:
    try:
        return path.read_text() == text
    except OSError:
        return False


def _check_scope(scope: TokenScope, tokens: list[TokenEntry], now_us: int) -> CheckResult:
    name, do = f"tokens: {scope}", f"tollgate token create NAME --scope {scope} --days {FIRST_DAYS}"
    ends = [token.expires_us for token in tokens if scope in token.scopes and token.is_live(now_us)]
    if not ends:
        said = "none is live, expected at least one"
        return AREA.failed(name, said, do) if scope in _NEEDED else AREA.warned(name, said, do)
    said = f"{len(ends)} live, the last until {day_of(max(ends))}"
    if max(ends) < now_us + _NOTICE_US:
        return AREA.warned(name, f"{said}, expected at least two weeks", do)
    return AREA.passed(name, said)
