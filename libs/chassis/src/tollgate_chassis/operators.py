"""Who may call an operator's door: tokens with scopes and an end, of which only the hashes are kept.

A token is ``tgt_<id>_<secret>``, its secret 32 random bytes. The list of a service lies with its secrets and is read
again when the file changes, so a new token or a revocation needs no restart. A list that turns unreadable still stops
trading: the last good one goes on counting for ``kill``, and for nothing else.
"""

import hashlib
import os
import secrets
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.settings import explain
from tollgate_chassis.telemetry.logs import logger
from tollgate_contracts.envelope import Hash, TimeUs, Value

TOKENS_FILE = "operator_tokens.json"
DAYS_MAX = 365
# Every call is compared with every entry; this many cost some 50 µs.
TOKENS_MAX = 256
_DAY_US = 86_400_000_000
_SECRET_BYTES = 32
# Longer than any token of ours; what is cut off cannot be one.
_TOKEN_LENGTH_MAX = 256
# Of the 32 bytes of a hash at least 24 differ in all but one of some billion; a typed pattern has a handful.
_DIFFERENT_BYTES_MIN = 16
_WELL_KNOWN = ("", "admin", "books", "changeme", "change-me", "example", "kill", "limits", "operator", "password",
               "placeholder", "read", "release", "secret", "test", "todo", "token", "tollgate")  # fmt: skip
_WRITABLE_BY_OTHERS = 0o022
_BEARER = "Bearer "


class TokenScope(StrEnum):
    """What a token lets its holder do."""

    READ = "read"
    """See state, limits, decisions, modes, policy and orders."""
    KILL = "kill"
    """Engage the kill switch, and raise its level."""
    RELEASE = "release"
    """Release the kill switch."""
    LIMITS = "limits"
    """Tighten the policy while the desk runs."""
    BOOKS = "books"
    """Say how the books are to be put right: what no evidence explains, and entries that are taken back."""


class Denial(StrEnum):
    """Why a caller is not let in; the value is the word for it in logs."""

    NO_TOKEN = "no_token"  # noqa: S105 - a word, and no secret
    """No token was shown."""
    UNKNOWN = "unknown_token"
    """None of the list is the one that was shown."""
    REVOKED = "revoked"
    """The token was taken back."""
    EXPIRED = "expired"
    """The token's time is over."""
    WRONG_SCOPE = "wrong_scope"
    """The token is good, and not for this."""
    LIST_UNREADABLE = "list_unreadable"
    """The list of tokens cannot be read, so nobody can say what was revoked since."""


def token_hash(text: str) -> str:
    """Return the SHA-256 of a token's whole text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


_PLACEHOLDERS = frozenset(token_hash(word) for word in _WELL_KNOWN)


class TokenEntry(Value):
    """One token as it is kept: everything but the token."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    """The second part of the token."""
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    """Whose it is or what for; stands in the trail of calls, and is never used twice."""
    scopes: Annotated[tuple[TokenScope, ...], Field(min_length=1, max_length=len(TokenScope))]
    sha256: Hash
    created_us: TimeUs
    expires_us: TimeUs
    """The first microsecond in which it is no longer good."""
    revoked_us: TimeUs | None

    @model_validator(mode="after")
    def _hash_is_of_a_token(self) -> Self:
        if self.sha256 in _PLACEHOLDERS or len(set(bytes.fromhex(self.sha256))) < _DIFFERENT_BYTES_MIN:
            raise ValueError("sha256 is a placeholder, expected the SHA-256 of a random token; `tollgate token create`")
        return self

    @model_validator(mode="after")
    def _scopes_are_apart(self) -> Self:
        if len(set(self.scopes)) != len(self.scopes):
            raise ValueError("scopes names one twice, expected each once")
        if {TokenScope.KILL, TokenScope.RELEASE} <= set(self.scopes):
            raise ValueError("scopes holds kill and release, expected two tokens: a release needs a second credential")
        return self

    @model_validator(mode="after")
    def _life_is_bounded(self) -> Self:
        if not self.created_us < self.expires_us <= self.created_us + DAYS_MAX * _DAY_US:
            raise ValueError(f"expires_us is expected after created_us, and at most {DAYS_MAX} days after it")
        return self

    def is_live(self, now_us: int) -> bool:
        """Say whether it is neither revoked nor expired."""
        return self.revoked_us is None and now_us < self.expires_us


class TokenList(Value):
    """The content of ``operator_tokens.json``."""

    version: Literal[1] = 1
    tokens: Annotated[tuple[TokenEntry, ...], Field(max_length=TOKENS_MAX)]

    @model_validator(mode="after")
    def _entries_are_different(self) -> Self:
        for what in ("id", "name", "sha256"):
            if len({getattr(token, what) for token in self.tokens}) != len(self.tokens):
                raise ValueError(f"two tokens have the same {what}, expected every {what} once")
        return self


class Access(NamedTuple):
    """What a caller showed, and whether it is enough."""

    token: TokenEntry | None
    """The token that was recognised, also when it is no longer good."""
    denial: Denial | None

    @property
    def name(self) -> str:
        """The token's name; empty where none was recognised."""
        return "" if self.token is None else self.token.name


def mint(name: str, scopes: tuple[TokenScope, ...], now_us: int, days: int) -> tuple[TokenEntry, str]:
    """Make a token and return its entry and its text, which is nowhere else; raises ``ValueError`` as entries do."""
    identity = secrets.token_hex(4)
    text = f"tgt_{identity}_{secrets.token_hex(_SECRET_BYTES)}"
    entry = TokenEntry(
        id=identity,
        name=name,
        scopes=scopes,
        sha256=token_hash(text),
        created_us=now_us,
        expires_us=now_us + days * _DAY_US,
        revoked_us=None,
    )
    return entry, text


def read_tokens(path: Path) -> TokenList:
    """Return the list in a file; raises ``BadConfiguration`` naming the file, the field and what was expected."""
    try:
        mode, content = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise BadConfiguration(
            f"operator tokens {path} cannot be read: {error.strerror}; `tollgate up` makes the first ones, "
            "`tollgate token create` more"
        ) from error
    if mode & _WRITABLE_BY_OTHERS:
        raise BadConfiguration(f"operator tokens {path}: others may write to it, expected: chmod 600")
    try:
        return TokenList.model_validate_json(content)
    except ValidationError as error:
        raise BadConfiguration(f"operator tokens {path}:\n{explain(error)}") from error


class OperatorTokens:
    """The list that is in force, read again when its file changes."""

    def __init__(self, path: Path, tokens: TokenList) -> None:
        """Take a list that was read from ``path``."""
        self._path = path
        self._tokens = tokens
        self._is_current = True
        self._seen: tuple[int, int, int] | None = None

    @classmethod
    def open(
        cls, path: Path, now_us: int, needs: tuple[TokenScope, ...] = (TokenScope.KILL, TokenScope.RELEASE)
    ) -> Self:
        """Read the list for a start; raises ``BadConfiguration`` also when nobody could do what the door ``needs``.

        A door that stops trading needs somebody who can stop it, and somebody who can release it.
        """
        tokens = _read_some(path)
        for scope in needs:
            if not any(scope in token.scopes and token.is_live(now_us) for token in tokens.tokens):
                raise BadConfiguration(
                    f"operator tokens {path}: tokens: none with the scope {scope} is neither revoked nor expired, "
                    f"expected one; make it: tollgate token create NAME --scope {scope}"
                )
        return cls(path, tokens)

    def check(self, authorization: str, scope: TokenScope, now_us: int) -> Access:
        """Say whether the header ``Authorization`` lets its sender do what ``scope`` names, now."""
        self._read_again_if_changed()
        token = self._find(authorization)
        if token is None:
            return Access(None, Denial.UNKNOWN if authorization else Denial.NO_TOKEN)
        refused = (
            (token.revoked_us is not None, Denial.REVOKED),
            (now_us >= token.expires_us, Denial.EXPIRED),
            (scope not in token.scopes, Denial.WRONG_SCOPE),
            (not self._is_current and scope is not TokenScope.KILL, Denial.LIST_UNREADABLE),
        )
        return Access(token, next((denial for applies, denial in refused if applies), None))

    def _find(self, authorization: str) -> TokenEntry | None:
        """Compare with every entry, in a time that tells neither whether nor where one was found."""
        is_bearer = authorization.startswith(_BEARER)
        shown = token_hash(authorization[len(_BEARER) : len(_BEARER) + _TOKEN_LENGTH_MAX] if is_bearer else "")
        found: TokenEntry | None = None
        for token in self._tokens.tokens:
            if secrets.compare_digest(token.sha256, shown):
                found = token
        return found

    def _read_again_if_changed(self) -> None:
        try:
            stat = os.stat(self._path)  # noqa: PTH116 - Path.stat costs twice as much, on every call
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            seen = (0, 0, 0)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._tokens = _read_some(self._path)
            self._is_current = True
            logger().info("operator.list", outcome="read", entries=len(self._tokens.tokens))
        except BadConfiguration as error:
            self._is_current = False
            logger().error("operator.list", outcome="unreadable", detail=error.why)


def _read_some(path: Path) -> TokenList:
    tokens = read_tokens(path)
    if not tokens.tokens:
        raise BadConfiguration(f"operator tokens {path}: tokens: got none, expected at least two; `tollgate up`")
    return tokens
