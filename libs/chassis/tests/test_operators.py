"""Operators' tokens: who is let in, until when, and what a list must be before anything starts."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

import pytest

from tollgate_chassis import operators
from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.operators import (
    DAYS_MAX,
    TOKENS_FILE,
    Denial,
    OperatorTokens,
    TokenEntry,
    TokenList,
    TokenScope,
    mint,
    read_tokens,
    token_hash,
)

NOW_US = 1_700_000_000_000_000
DAY_US = 86_400_000_000
READ, KILL, RELEASE, LIMITS, BOOKS = TokenScope
MINTED = {scope: mint(scope.value, (scope,), NOW_US, 30) for scope in TokenScope}
ENTRIES = tuple(entry for entry, _ in MINTED.values())


def bearer(text: str) -> str:
    return f"Bearer {text}"


def write(directory: Path, *entries: TokenEntry) -> Path:
    path = directory / TOKENS_FILE
    # As the console writes: beside it, and then in its place.
    beside = directory / "beside"
    beside.write_text(TokenList(tokens=entries).model_dump_json())
    beside.chmod(0o600)
    beside.replace(path)
    return path


def opened(directory: Path, *entries: TokenEntry) -> OperatorTokens:
    return OperatorTokens.open(write(directory, *(entries or ENTRIES)), NOW_US)


def test_a_token_is_random_and_only_its_hash_is_kept():
    """Thirty-two bytes that nobody can guess, and nothing in the entry from which they could be had."""
    texts = {mint("ann", (KILL,), NOW_US, 1)[1] for _ in range(50)}
    assert len(texts) == 50
    entry, text = mint("ann", (KILL,), NOW_US, 1)
    prefix, identity, secret = text.split("_")
    assert (prefix, identity, len(bytes.fromhex(secret))) == ("tgt", entry.id, 32)
    assert entry.sha256 == token_hash(text)
    assert secret not in entry.model_dump_json()


@pytest.mark.parametrize("wanted", TokenScope)
@pytest.mark.parametrize("held", TokenScope)
def test_a_token_is_good_for_its_own_scope_alone(tmp_path: Path, held: TokenScope, wanted: TokenScope):
    access = opened(tmp_path).check(bearer(MINTED[held][1]), wanted, NOW_US)
    assert access.denial is (None if held is wanted else Denial.WRONG_SCOPE)
    assert access.name == held.value


@pytest.mark.parametrize(
    ("shown", "denial"),
    [
        pytest.param("", Denial.NO_TOKEN, id="nothing"),
        pytest.param("Bearer ", Denial.UNKNOWN, id="an empty one"),
        pytest.param(bearer("tgt_00000000_" + "0" * 64), Denial.UNKNOWN, id="made up"),
        pytest.param(bearer(MINTED[KILL][1][:-1]), Denial.UNKNOWN, id="cut off"),
        pytest.param(bearer(MINTED[KILL][1] + "0"), Denial.UNKNOWN, id="one digit more"),
        pytest.param(bearer(MINTED[KILL][1] + "0" * 100_000), Denial.UNKNOWN, id="far too long"),
        pytest.param(MINTED[KILL][1], Denial.UNKNOWN, id="without Bearer"),
        pytest.param(bearer(MINTED[KILL][0].sha256), Denial.UNKNOWN, id="the hash itself"),
        pytest.param("Basic " + MINTED[KILL][1], Denial.UNKNOWN, id="another scheme"),
        pytest.param(bearer("\u00fc" * 64), Denial.UNKNOWN, id="not ASCII"),
    ],
)
def test_whoever_shows_anything_else_is_a_stranger(tmp_path: Path, shown: str, denial: Denial):
    access = opened(tmp_path).check(shown, KILL, NOW_US)
    assert (access.token, access.denial, access.name) == (None, denial, "")


@pytest.mark.parametrize(("offset_us", "denial"), [(-1, None), (0, Denial.EXPIRED), (1, Denial.EXPIRED)])
def test_a_token_ends_at_its_microsecond(tmp_path: Path, offset_us: int, denial: Denial | None):
    entry, text = MINTED[READ]
    access = opened(tmp_path).check(bearer(text), READ, entry.expires_us + offset_us)
    assert (access.denial, access.name) == (denial, "read")


def test_a_revocation_and_a_new_token_need_no_restart(tmp_path: Path):
    """The file is read again when it changes, and only then."""
    tokens = opened(tmp_path)
    entry, text = MINTED[READ]
    assert tokens.check(bearer(text), READ, NOW_US).denial is None
    late, late_text = mint("late", (READ,), NOW_US, 1)
    assert tokens.check(bearer(late_text), READ, NOW_US).denial is Denial.UNKNOWN
    gone = entry.model_copy(update={"revoked_us": NOW_US})
    write(tmp_path, gone, *ENTRIES[1:], late)
    assert tokens.check(bearer(text), READ, NOW_US).denial is Denial.REVOKED
    assert tokens.check(bearer(late_text), READ, NOW_US).denial is None


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tokens = opened(tmp_path)
    tokens.check("", READ, NOW_US)
    reads: list[Path] = []
    monkeypatch.setattr(operators, "read_tokens", reads.append)
    for _ in range(5):
        tokens.check(bearer(MINTED[READ][1]), READ, NOW_US)
    assert reads == []


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(lambda path: path.write_text("{"), id="cut off"),
        pytest.param(lambda path: path.write_text('{"version":1,"tokens":[]}'), id="emptied"),
        pytest.param(lambda path: path.chmod(0o666) or os.utime(path, (1, 1)), id="open to all"),
    ],
)
def test_a_list_that_turns_unreadable_still_stops_trading_and_does_nothing_else(tmp_path: Path, spoil: Any):
    """Nobody can say what was revoked since; stopping is the safe side. Mended, it is in force again."""
    tokens = opened(tmp_path)
    assert tokens.check(bearer(MINTED[READ][1]), READ, NOW_US).denial is None
    spoil(tmp_path / TOKENS_FILE)
    assert tokens.check(bearer(MINTED[KILL][1]), KILL, NOW_US).denial is None
    for scope in (READ, RELEASE, LIMITS):
        assert tokens.check(bearer(MINTED[scope][1]), scope, NOW_US).denial is Denial.LIST_UNREADABLE
    write(tmp_path, *ENTRIES)
    assert tokens.check(bearer(MINTED[RELEASE][1]), RELEASE, NOW_US).denial is None


@pytest.mark.parametrize(
    "shown",
    ["", bearer("tgt_00000000_" + "0" * 64), *(bearer(text) for _, text in MINTED.values())],
    ids=["nothing", "made up", *MINTED],
)
def test_every_entry_is_compared_in_constant_time_whatever_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: str
):
    """A hit on the first costs as many comparisons as a miss."""
    tokens = opened(tmp_path)
    compared: list[str] = []
    compare = secrets.compare_digest

    def counting(one: str, other: str) -> bool:
        compared.append(one)
        return compare(one, other)

    monkeypatch.setattr(operators.secrets, "compare_digest", counting)
    tokens.check(shown, KILL, NOW_US)
    assert compared == [entry.sha256 for entry in ENTRIES]


def changed(**fields: Any) -> dict[str, Any]:
    entry = json.loads(ENTRIES[0].model_dump_json())
    return {key: value for key, value in {**entry, **fields}.items() if value != "absent"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        pytest.param({"sha256": "changeme"}, "tokens.0.sha256: String should match pattern", id="a word for a hash"),
        pytest.param({"sha256": "0" * 64}, "sha256 is a placeholder", id="zeros"),
        pytest.param({"sha256": "deadbeef" * 8}, "sha256 is a placeholder", id="repeated bytes"),
        pytest.param({"sha256": token_hash("changeme")}, "sha256 is a placeholder", id="the hash of a word"),
        pytest.param({"sha256": token_hash("")}, "sha256 is a placeholder", id="the hash of nothing"),
        pytest.param({"sha256": "absent"}, "tokens.0.sha256: Field required", id="no hash"),
        pytest.param({"secret": "x"}, "tokens.0.secret: no such key", id="an unknown key"),
        pytest.param({"name": "Ann Smith"}, "tokens.0.name: String should match pattern", id="a name with a space"),
        pytest.param({"scopes": []}, "tokens.0.scopes: .*at least 1 item", id="no scope"),
        pytest.param({"scopes": ["root"]}, "tokens.0.scopes.0: .*'read', 'kill', 'release'", id="an unknown scope"),
        pytest.param({"scopes": ["read", "read"]}, "scopes names one twice", id="a scope twice"),
        pytest.param({"scopes": ["kill", "release"]}, "a release needs a second credential", id="kill and release"),
        pytest.param({"expires_us": None}, "tokens.0.expires_us: .*integer", id="no end"),
        pytest.param({"expires_us": NOW_US}, "expires_us is expected after created_us", id="ended when it began"),
        pytest.param({"expires_us": NOW_US + DAYS_MAX * DAY_US + 1}, "at most 365 days", id="more than a year"),
    ],
)
def test_a_wrong_entry_is_refused_with_file_field_and_what_was_expected(
    tmp_path: Path, fields: dict[str, Any], said: str
):
    path = tmp_path / TOKENS_FILE
    path.write_text(json.dumps({"version": 1, "tokens": [changed(**fields)]}))
    with pytest.raises(BadConfiguration, match=said) as refused:
        read_tokens(path)
    assert str(path) in refused.value.why


def test_a_year_is_allowed():
    assert mint("ann", (READ,), NOW_US, DAYS_MAX)[0].is_live(NOW_US)


@pytest.mark.parametrize("what", ["id", "name", "sha256"])
def test_two_entries_that_cannot_be_told_apart_are_refused(tmp_path: Path, what: str):
    other = json.loads(ENTRIES[1].model_dump_json())
    other[what] = getattr(ENTRIES[0], what)
    path = tmp_path / TOKENS_FILE
    path.write_text(json.dumps({"version": 1, "tokens": [changed(), other]}))
    with pytest.raises(BadConfiguration, match=f"two tokens have the same {what}"):
        read_tokens(path)


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        pytest.param(None, 0o600, "cannot be read", id="missing"),
        pytest.param("", 0o600, "Invalid JSON", id="empty"),
        pytest.param("[]", 0o600, "object", id="a list"),
        pytest.param('{"version":2,"tokens":[]}', 0o600, "version: Input should be 1", id="another version"),
        pytest.param('{"version":1,"tokens":[]}', 0o600, "got none", id="nobody"),
        pytest.param('{"version":1,"tokens":[]}', 0o620, "others may write to it, expected: chmod 600", id="writable"),
    ],
)
def test_a_service_does_not_start_with_such_a_list(tmp_path: Path, text: str | None, mode: int, said: str):
    path = tmp_path / TOKENS_FILE
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(BadConfiguration, match=said) as refused:
        OperatorTokens.open(path, NOW_US)
    assert str(path) in refused.value.why


@pytest.mark.parametrize("scope", [KILL, RELEASE])
@pytest.mark.parametrize("how", ["never made", "revoked", "expired"])
def test_a_service_does_not_start_when_nobody_could_stop_it_or_release_it(tmp_path: Path, scope: TokenScope, how: str):
    others = tuple(entry for entry in ENTRIES if scope not in entry.scopes)
    entry = MINTED[scope][0]
    over = {
        "never made": (),
        "revoked": (entry.model_copy(update={"revoked_us": NOW_US}),),
        "expired": (entry.model_copy(update={"created_us": NOW_US - 1, "expires_us": NOW_US}),),
    }[how]
    with pytest.raises(BadConfiguration, match=f"tollgate token create NAME --scope {scope}"):
        opened(tmp_path, *others, *over)
