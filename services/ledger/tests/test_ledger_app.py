"""How the ledger is built from its settings, and what it says when they are wrong."""

import time

import httpx
import pytest
from fastapi import FastAPI
from ledger_readers import BEARERS, MINTED
from prometheus_client import REGISTRY
from pydantic import ValidationError

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.operators import TOKENS_FILE, TokenList, TokenScope, mint
from tollgate_chassis.tape import MemoryTape
from tollgate_chassis.telemetry.metrics import ledger as metrics
from tollgate_contracts.codec import decode
from tollgate_ledger.app import build
from tollgate_ledger.core import AlarmReason
from tollgate_ledger.reading import READER_DSN_FILE
from tollgate_ledger.settings import LedgerSettings


def write_secrets(directory, minted=None):
    """Write everything that the ledger needs to be built, and return the file with its DSN."""
    dsn_file = directory / "dsn"
    dsn_file.write_text("postgresql://tollgate_ledger@/tollgate\n")
    (directory / "seal_signing_key").write_text("0123456789abcdef" * 4 + "\n")
    (directory / READER_DSN_FILE).write_text("postgresql://tollgate_reader@/tollgate\n")
    minted = minted or {TokenScope.READ: mint("anna", (TokenScope.READ,), time.time_ns() // 1_000, 30)}
    tokens = directory / TOKENS_FILE
    tokens.write_text(TokenList(tokens=tuple(entry for entry, _ in minted.values())).model_dump_json())
    tokens.chmod(0o600)
    return dsn_file


def test_it_is_built_without_touching_anything(tmp_path):
    dsn_file = write_secrets(tmp_path)
    parts = build(LedgerSettings(postgres_dsn_file=dsn_file, secrets_dir=tmp_path))
    assert parts.snapshot_every is None
    assert parts.shell.status()["opened"] is False
    assert parts.shell.not_ready() == ["the ledger's configuration is not on the tape yet"]


async def test_an_operators_word_is_put_on_the_tape_also_when_it_is_refused_and_a_readers_question_is_not(tmp_path):
    dsn_file = write_secrets(tmp_path, MINTED)
    parts = build(LedgerSettings(run_id="r1", postgres_dsn_file=dsn_file, secrets_dir=tmp_path, state_dir=tmp_path))
    app = FastAPI()
    for router in parts.routers:
        app.include_router(router)
    calls = tmp_path / "operator-calls.jsonl"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ledger/v1") as caller:
        assert (await caller.get("/books", headers=BEARERS["read"])).status_code == 503
        assert not calls.exists()
        word = {"entry": 2, "booked_as": "FEE", "reason": "ticket 4711", "actor": "ann"}
        assert (await caller.post("/corrections", headers=BEARERS["read"], json=word)).status_code == 403
        assert (await caller.post("/corrections", headers=BEARERS["books"], json=word)).status_code == 503
    said = [decode(line) for line in calls.read_bytes().splitlines()]
    assert [(call.writer, call.token, call.status, call.reason) for call in said] == [
        ("ledger", "read", 403, ""),
        ("ledger", "books", 503, "ticket 4711"),
    ]
    waiting = parts.shell.background()
    assert len(waiting) == 3, "what commits, what puts the calls on the tape, and what measures the database"
    for task in waiting:
        task.close()


async def test_alarms_are_told_from_zero_by_every_reason_also_those_of_catching_up(ledger, put, speak):
    """And a ledger that is started again tells those of before: an alert asks by how many more there are."""

    def told(reason):
        return REGISTRY.get_sample_value("tollgate_ledger_alarms", {"reason": reason})

    metrics.LEDGER_ALARMS.clear()
    tape = MemoryTape()
    put(tape, speak.config(), speak.fill("BUY", "1", "100", trade_id="t1", cause=1))
    first = ledger(tape)
    assert told("not_opened") is None, "no ledger is active"
    await first.start()
    await first.settle()
    assert {reason.value: told(reason.value) for reason in AlarmReason} == {
        reason.value: float(reason is AlarmReason.NOT_OPENED) for reason in AlarmReason
    }
    put(tape, speak.fill("BUY", "1", "100", trade_id="t2", cause=2))
    await first.settle()
    assert told("not_opened") == 2
    await first.stop()
    metrics.LEDGER_ALARMS.clear()
    second = await ledger(tape).start()
    await second.settle()
    assert told("not_opened") == 2
    await second.stop()


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
