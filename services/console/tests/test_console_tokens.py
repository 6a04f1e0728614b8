"""Operators' tokens on this machine: made once, listed, revoked, and the same at every door."""

import json
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tollgate_chassis.operators import (
    TOKENS_FILE,
    TOKENS_MAX,
    OperatorTokens,
    TokenEntry,
    TokenList,
    TokenScope,
    mint,
    read_tokens,
)
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import Layout
from tollgate_console.provision import tokens as console_tokens
from tollgate_console.provision.tokens import (
    DOORS,
    create_token,
    first_token_file,
    list_tokens,
    provision_tokens,
    revoke_token,
    token_list_file,
)

TOLLGATE = Path(sys.executable).with_name("tollgate")
DAY_US = 86_400_000_000


def now_us() -> int:
    return time.time_ns() // 1_000


def door(layout: Layout, name: str) -> OperatorTokens:
    return OperatorTokens.open(layout.secrets(name) / TOKENS_FILE, now_us())


def lets_in(layout: Layout, text: str, scope: TokenScope) -> set[bool]:
    return {door(layout, name).check(f"Bearer {text}", scope, now_us()).denial is None for name in DOORS}


def run(layout: Layout, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [TOLLGATE, "token", *arguments, "--state-dir", layout.root]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - ours


def later(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    moment = now_us() + days * DAY_US
    monkeypatch.setattr(console_tokens, "_now_us", lambda: moment)


@pytest.fixture
def provisioned(layout: Layout) -> Layout:
    assert provision_tokens(layout) == []
    return layout


def test_the_first_tokens_are_made_once_one_for_each_scope_and_are_good_at_every_door(provisioned: Layout) -> None:
    texts = {scope: first_token_file(provisioned, scope).read_text().strip() for scope in TokenScope}
    for scope, text in texts.items():
        for wanted in TokenScope:
            assert lets_in(provisioned, text, wanted) == {wanted is scope}
    assert provision_tokens(provisioned) == []
    assert {scope: first_token_file(provisioned, scope).read_text().strip() for scope in TokenScope} == texts
    for path in provisioned.operator.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(provisioned.operator.stat().st_mode) == 0o700
    kept = token_list_file(provisioned).read_text()
    assert not any(text in kept for text in texts.values())


def test_a_door_whose_copy_was_lost_or_changed_gets_it_again(provisioned: Layout) -> None:
    for name in DOORS:
        (provisioned.secrets(name) / TOKENS_FILE).write_text("{")
    provision_tokens(provisioned)
    for name in DOORS:
        assert read_tokens(provisioned.secrets(name) / TOKENS_FILE) == read_tokens(token_list_file(provisioned))


def test_what_runs_out_is_said_with_the_command_and_nothing_is_made(
    provisioned: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two weeks ahead, and again when it is over; never silently anew."""
    before = token_list_file(provisioned).read_text()
    later(monkeypatch, 75)
    assert provision_tokens(provisioned) == []
    later(monkeypatch, 77)
    said = provision_tokens(provisioned)
    assert len(said) == len(TokenScope)
    assert said[1].startswith("the last token for kill ends on ")
    assert "tollgate token create NAME --scope kill --days 90 --state-dir" in said[1]
    later(monkeypatch, 91)
    assert provision_tokens(provisioned)[1].startswith("no token for kill is live; make one: ")
    assert token_list_file(provisioned).read_text() == before


def test_a_new_token_is_shown_once_and_good_at_every_door_without_a_restart(provisioned: Layout) -> None:
    doors = [door(provisioned, name) for name in DOORS]
    answer = run(provisioned, "create", "anna", "--scope", "read", "--scope", "kill", "--days", "7")
    assert answer.returncode == 0
    (text,) = answer.stdout.split()
    assert "shown this once" in answer.stderr
    for each in doors:
        assert each.check(f"Bearer {text}", TokenScope.KILL, now_us()).name == "anna"
    assert text not in token_list_file(provisioned).read_text()
    assert run(provisioned, "revoke", "anna").returncode == 0
    assert lets_in(provisioned, text, TokenScope.READ) == {False}
    assert run(provisioned, "revoke", "anna").returncode == 0, "revoking again changes nothing"


@pytest.mark.parametrize("scope", TokenScope)
def test_a_token_of_every_scope_can_be_made(provisioned: Layout, scope: TokenScope) -> None:
    answer = run(provisioned, "create", "anna", "--scope", scope)
    assert answer.returncode == 0, answer.stderr


def test_the_list_shows_everything_but_the_tokens(provisioned: Layout) -> None:
    run(provisioned, "create", "anna", "--scope", "limits")
    run(provisioned, "revoke", "anna")
    lines = run(provisioned, "list").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["read", "live"], ["kill", "live"], ["release", "live"], ["limits", "live"], ["books", "live"],
        ["anna", "revoked"],
    ]  # fmt: skip
    shown = json.loads(run(provisioned, "list", "--json").stdout)
    assert [(one["name"], one["scopes"], one["state"]) for one in shown][-1] == ("anna", ["limits"], "revoked")
    assert "sha256" not in json.dumps(shown)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("create", "kill", "--scope", "kill"), "two tokens have the same name", id="the name is taken"),
        pytest.param(("create", "Anna", "--scope", "kill"), "name", id="a name that is none"),
        pytest.param(("create", "anna", "--scope", "kill", "--scope", "release"), "second credential", id="both"),
        pytest.param(("create", "anna", "--scope", "root"), "none of read, kill, release", id="an unknown scope"),
        pytest.param(("create", "anna"), "--scope", id="no scope"),
        pytest.param(
            ("create", "anna", "--scope", "kill", "--days", "730"), "less than or equal to 365", id="two years"
        ),
        pytest.param(("create", "anna", "--scope", "kill", "--days", "0"), "greater than or equal to 1", id="no day"),
        pytest.param(("revoke", "anna"), "there is no token 'anna'", id="nobody"),
    ],
)
def test_what_cannot_be_meant_ends_with_2_and_changes_nothing(
    provisioned: Layout, arguments: tuple[str, ...], said: str
) -> None:
    before = token_list_file(provisioned).read_text()
    answer = run(provisioned, *arguments)
    assert (answer.returncode, answer.stdout) == (ConsoleExit.USAGE, "")
    assert said in answer.stderr
    assert token_list_file(provisioned).read_text() == before


@pytest.mark.parametrize("arguments", [("list",), ("revoke", "x"), ("create", "x", "--scope", "read")])
def test_without_a_list_or_with_a_broken_one_it_ends_with_78(layout: Layout, arguments: tuple[str, ...]) -> None:
    answer = run(layout, *arguments)
    assert answer.returncode == ConsoleExit.BAD_CONFIGURATION
    assert "`tollgate up` makes the first tokens" in answer.stderr
    assert not layout.operator.exists()
    provision_tokens(layout)
    token_list_file(layout).write_text('{"version":1,"tokens":[{"id":"x"}]}')
    answer = run(layout, *arguments)
    assert answer.returncode == ConsoleExit.BAD_CONFIGURATION
    assert "tokens.0.id" in answer.stderr


def test_revoking_the_last_of_a_scope_says_what_is_missing_now(provisioned: Layout) -> None:
    answer = run(provisioned, "revoke", "release")
    assert answer.returncode == 0
    assert "mind: no token for release is live; make one: tollgate token create" in answer.stderr


def test_a_full_list_lets_go_of_what_is_over_and_of_nothing_else(provisioned: Layout) -> None:
    """The oldest of those that are revoked or expired; when all are live, one must be revoked first."""
    filler = [mint(f"t{n}", (TokenScope.READ,), now_us(), 9)[0] for n in range(TOKENS_MAX - len(TokenScope))]
    whole: tuple[TokenEntry, ...] = (*read_tokens(token_list_file(provisioned)).tokens, *filler)
    token_list_file(provisioned).write_text(TokenList(tokens=whole).model_dump_json())
    with pytest.raises(ConsoleError, match="tokens are live; revoke one"):
        create_token(provisioned, "late", (TokenScope.READ,), 1)
    revoke_token(provisioned, "t7")
    create_token(provisioned, "late", (TokenScope.READ,), 1)
    names = [token.name for token, _ in list_tokens(provisioned)]
    assert ("t7" in names, "late" in names, len(names)) == (False, True, TOKENS_MAX)


def test_of_two_commands_at_once_neither_forgets_what_the_other_has_written(provisioned: Layout) -> None:
    command = [TOLLGATE, "token", "create"]
    options = ["--scope", "read", "--state-dir", provisioned.root]
    running = [
        subprocess.Popen([*command, f"t{n}", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - ours
        for n in range(4)
    ]
    assert [one.wait(60) for one in running] == [0] * 4
    assert {token.name for token, _ in list_tokens(provisioned)} >= {f"t{n}" for n in range(4)}
