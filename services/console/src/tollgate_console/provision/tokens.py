"""Operators' tokens: one list for the desk, of which each service with a door has its own copy.

Only the first tokens are made without being asked for, once, and their texts are kept for the operator of this
machine. Any other text is shown when it is made, and never again.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.operators import TOKENS_FILE, TOKENS_MAX, TokenEntry, TokenList, TokenScope, mint, read_tokens
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import PRIVATE_DIRECTORY, PRIVATE_FILE, Layout, write_private

DOORS = ("risk", "execution", "ledger")
"""The services that operators call."""
FIRST_DAYS = 90
_DAY_US = 86_400_000_000
# Two weeks' notice, so that nobody finds on a Sunday that the desk cannot be stopped.
_NOTICE_US = 14 * _DAY_US
_INDENT = 2


def token_list_file(layout: Layout) -> Path:
    """Return where the desk's own list lies; the services have copies."""
    return layout.operator / TOKENS_FILE


def first_token_file(layout: Layout, scope: TokenScope) -> Path:
    """Return where the text of the first token for ``scope`` lies."""
    return layout.operator / f"{scope}.token"


def provision_tokens(layout: Layout) -> list[str]:
    """Make the first tokens if there is no list yet, bring the services' copies up to date, and say what runs out."""
    layout.operator.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    with _alone(layout):
        if not token_list_file(layout).exists():
            _make_first(layout)
        tokens = _read(layout)
        _hand_out(layout, tokens)
    return _what_runs_out(layout, tokens)


def create_token(layout: Layout, name: str, scopes: tuple[TokenScope, ...], days: int) -> str:
    """Add a token and return its text; raises ``ConsoleError`` when the name is taken or the scopes do not go."""
    with _alone(layout):
        before = _read(layout)
        try:
            entry, text = mint(name, scopes, _now_us(), days)
            tokens = TokenList(tokens=(*_with_room(before), entry))
        except ValueError as error:
            raise ConsoleError(ConsoleExit.USAGE, f"no token was made: {_words(error)}") from error
        _write(layout, tokens)
    return text


def revoke_token(layout: Layout, name: str) -> list[str]:
    """Revoke the token of that name; returns what has run out by it. Revoking again changes nothing."""
    with _alone(layout):
        before, now_us = _read(layout), _now_us()
        if name not in {token.name for token in before.tokens}:
            raise ConsoleError(ConsoleExit.USAGE, f"there is no token {name!r}; `tollgate token list` shows all")
        revoked = tuple(
            token.model_copy(update={"revoked_us": now_us})
            if token.name == name and token.revoked_us is None
            else token
            for token in before.tokens
        )
        tokens = TokenList(tokens=revoked)
        _write(layout, tokens)
    return _what_runs_out(layout, tokens)


def list_tokens(layout: Layout) -> tuple[tuple[TokenEntry, str], ...]:
    """Return every token with its state in a word: ``live``, ``expired`` or ``revoked``."""
    now_us = _now_us()
    return tuple((token, _state(token, now_us)) for token in _read(layout).tokens)


def _state(token: TokenEntry, now_us: int) -> str:
    if token.revoked_us is not None:
        return "revoked"
    return "live" if token.is_live(now_us) else "expired"


def day_of(at_us: int) -> str:
    """Return the UTC day of a time."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%d")


def _make_first(layout: Layout) -> None:
    made = [(scope, *mint(scope.value, (scope,), _now_us(), FIRST_DAYS)) for scope in TokenScope]
    for scope, _, text in made:
        write_private(first_token_file(layout, scope), f"{text}\n")
    # The list comes last: until it is there, the next start makes all of them anew.
    _write_list(token_list_file(layout), TokenList(tokens=tuple(entry for _, entry, _ in made)))


def _with_room(tokens: TokenList) -> tuple[TokenEntry, ...]:
    """Return the tokens with room for one more; those that are over go first, the oldest before the others."""
    kept = tokens.tokens
    if len(kept) < TOKENS_MAX:
        return kept
    over = [token for token in kept if not token.is_live(_now_us())]
    if not over:
        raise ConsoleError(ConsoleExit.USAGE, f"the list is full: {TOKENS_MAX} tokens are live; revoke one")
    oldest = min(over, key=lambda token: token.created_us)
    return tuple(token for token in kept if token is not oldest)


def _what_runs_out(layout: Layout, tokens: TokenList) -> list[str]:
    now_us, said = _now_us(), []
    for scope in TokenScope:
        ends = [token.expires_us for token in tokens.tokens if scope in token.scopes and token.is_live(now_us)]
        if ends and max(ends) >= now_us + _NOTICE_US:
            continue
        what = f"the last token for {scope} ends on {day_of(max(ends))}" if ends else f"no token for {scope} is live"
        command = f"tollgate token create NAME --scope {scope} --days {FIRST_DAYS} --state-dir {layout.root}"
        said.append(f"{what}; make one: {command}")
    return said


def _read(layout: Layout) -> TokenList:
    path = token_list_file(layout)
    if not path.exists():
        raise _not_there(layout)
    try:
        return read_tokens(path)
    except BadConfiguration as error:
        raise ConsoleError(ConsoleExit.BAD_CONFIGURATION, error.why) from error


def _write(layout: Layout, tokens: TokenList) -> None:
    _write_list(token_list_file(layout), tokens)
    _hand_out(layout, tokens)


def _hand_out(layout: Layout, tokens: TokenList) -> None:
    for door in DOORS:
        path = layout.secrets(door) / TOKENS_FILE
        if not path.exists() or path.read_text() != _text(tokens):
            _write_list(path, tokens)


def _write_list(path: Path, tokens: TokenList) -> None:
    write_private(path, _text(tokens))


def _text(tokens: TokenList) -> str:
    return f"{tokens.model_dump_json(indent=_INDENT)}\n"


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Hold the list, so that of two commands at once neither forgets what the other has written."""
    if not layout.operator.exists():
        raise _not_there(layout)
    descriptor = os.open(layout.operator / "lock", os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _not_there(layout: Layout) -> ConsoleError:
    return ConsoleError(
        ConsoleExit.BAD_CONFIGURATION,
        f"{token_list_file(layout)} is not there; `tollgate up` makes the first tokens",
    )


def _words(error: ValueError) -> str:
    return "; ".join(str(error).splitlines()[1:3]).strip() or str(error)


def _now_us() -> int:
    return time.time_ns() // 1_000
