"""How the ledger is built from its settings, and what it says when they are wrong."""

import time

import pytest
from pydantic import ValidationError

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.operators import TOKENS_FILE, TokenList, TokenScope, mint
from tollgate_ledger.app import build
from tollgate_ledger.reading import READER_DSN_FILE
from tollgate_ledger.settings import LedgerSettings


def write_secrets(directory):
    """Write everything that the ledger needs to be built, and return the file with its DSN."""
    dsn_file = directory / "dsn"
    dsn_file.write_text("postgresql://tollgate_ledger@/tollgate\n")
    (directory / "seal_signing_key").write_text("0123456789abcdef" * 4 + "\n")
    (directory / READER_DSN_FILE).write_text("postgresql://tollgate_reader@/tollgate\n")
    entry, _ = mint("anna", (TokenScope.READ,), time.time_ns() // 1_000, 30)
    tokens = directory / TOKENS_FILE
    tokens.write_text(TokenList(tokens=(entry,)).model_dump_json())
    tokens.chmod(0o600)
    return dsn_file


def test_it_is_built_without_touching_anything(tmp_path):
    dsn_file = write_secrets(tmp_path)
    parts = build(LedgerSettings(postgres_dsn_file=dsn_file, secrets_dir=tmp_path))
    assert parts.snapshot_every is None
    assert parts.shell.status()["opened"] is False
    assert parts.shell.not_ready() == ["the ledger's configuration is not on the tape yet"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, "cannot be read: No such file"),
        ("", "expected a DSN that begins with postgresql://"),
        ("mysql://x", "expected a DSN that begins with postgresql://"),
    ],
)
def test_a_dsn_file_that_does_not_help_is_bad_configuration(tmp_path, content, error):
    dsn_file = tmp_path / "dsn"
    if content is not None:
        dsn_file.write_text(content)
    with pytest.raises(BadConfiguration, match=error):
        build(LedgerSettings(postgres_dsn_file=dsn_file))


@pytest.mark.parametrize(
    ("content", "error"),
    [(None, "cannot be read"), ("ab", "placeholder or shorter"), ("g" * 64, "seed of 64 lower-case")],
)
def test_a_ledger_that_cannot_seal_its_books_is_not_started(tmp_path, content, error):
    dsn_file = tmp_path / "dsn"
    dsn_file.write_text("postgresql://tollgate_ledger@/tollgate\n")
    if content is not None:
        (tmp_path / "seal_signing_key").write_text(content)
    with pytest.raises(BadConfiguration, match=error):
        build(LedgerSettings(postgres_dsn_file=dsn_file, secrets_dir=tmp_path))


@pytest.mark.parametrize(
    ("file", "error"), [(READER_DSN_FILE, "the reader's DSN .* cannot be read"), (TOKENS_FILE, "cannot be read")]
)
def test_a_ledger_whose_books_nobody_could_read_is_not_started(tmp_path, file, error):
    dsn_file = write_secrets(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(BadConfiguration, match=error):
        build(LedgerSettings(postgres_dsn_file=dsn_file, secrets_dir=tmp_path))


def test_a_missing_dsn_file_setting_names_the_field():
    with pytest.raises(BadConfiguration, match="postgres_dsn_file"):
        build(LedgerSettings())


def test_the_secret_part_of_a_dsn_is_not_in_the_error(tmp_path):
    dsn_file = tmp_path / "dsn"
    dsn_file.write_text("mysql://user:hunter2@host/db")
    with pytest.raises(BadConfiguration) as error:
        build(LedgerSettings(postgres_dsn_file=dsn_file))
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "section",
    [
        {"dust": {"USDT": 0.1}},
        {"dust": {"USDT": "-1"}},
        {"dust": {"USDT": "NaN"}},
        {"dust": {"usdt": "1"}},
        {"books_interval_ms": -1},
        {"book_interval_ms": 5},
    ],
)
def test_a_setting_that_is_not_what_it_must_be_is_refused(section):
    with pytest.raises(ValidationError):
        LedgerSettings(ledger=section)
