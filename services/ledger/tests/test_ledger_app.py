"""How the ledger is built from its settings, and what it says when they are wrong."""

import pytest
from pydantic import ValidationError

from tollgate_chassis.exits import BadConfiguration
from tollgate_ledger.app import build
from tollgate_ledger.settings import LedgerSettings


def test_it_is_built_without_touching_anything(tmp_path):
    dsn_file = tmp_path / "dsn"
    dsn_file.write_text("postgresql://tollgate_ledger@/tollgate\n")
    parts = build(LedgerSettings(postgres_dsn_file=dsn_file))
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
