"""``tollgate resolve``: the word reaches execution as it was given, and what execution says reaches the operator."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tollgate_chassis.operators import TokenScope
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import Layout
from tollgate_console.provision.tokens import first_token_file, provision_tokens
from tollgate_console.resolving import (
    CorrectionWord,
    DriftWord,
    Word,
    correct_entry,
    resolve_drift,
    resolve_order,
)

TOLLGATE = Path(sys.executable).with_name("tollgate")
WORD = Word("CANCELLED", "ticket 4711", "ann")


class Execution:
    """Stands where execution listens: answers what the test says, and keeps what it was sent."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (200, json.dumps({"note": "the order is CANCELLED", "order": None}).encode())
        self.calls: list[tuple[str, str, str, Any]] = []
        heard = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                heard.calls.append((self.command, self.path, self.headers["Authorization"], body))
                self.send_response(heard.answer[0])
                self.end_headers()
                self.wfile.write(heard.answer[1])

            def do_DELETE(self) -> None:
                self.answer()

            def do_POST(self) -> None:
                self.answer()

            def log_message(self, *_arguments: Any) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def platform(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "ports": dict.fromkeys(("execution", "ledger"), self.server.server_port)}


@pytest.fixture
def execution() -> Iterator[Execution]:
    execution = Execution()
    thread = threading.Thread(target=execution.server.serve_forever, daemon=True)
    thread.start()
    yield execution
    execution.server.shutdown()
    execution.server.server_close()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    provision_tokens(layout)
    return layout


def test_the_word_is_sent_with_the_token_that_may_release(execution: Execution, layout: Layout) -> None:
    said = resolve_order(execution.platform, layout, "tg/1 2", WORD, None)
    token = first_token_file(layout, TokenScope.RELEASE).read_text().strip()
    body = {"outcome": "CANCELLED", "reason": "ticket 4711", "actor": "ann"}
    assert execution.calls == [("DELETE", "/v1/orders/tg%2F1%202", f"Bearer {token}", body)]
    assert said == "tg/1 2: the order is CANCELLED"


def test_a_word_on_a_drift_is_sent_with_the_token_for_the_books(execution: Execution, layout: Layout) -> None:
    execution.answer = (200, b'{"note": "booked in suspense"}')
    said = resolve_drift(execution.platform, layout, "USDT", DriftWord("-12.5", "ticket 4711", "ann"), None)
    token = first_token_file(layout, TokenScope.BOOKS).read_text().strip()
    body = {"amount": "-12.5", "reason": "ticket 4711", "actor": "ann"}
    assert execution.calls == [("POST", "/v1/drifts/USDT", f"Bearer {token}", body)]
    assert said == "USDT: booked in suspense"


def test_a_correction_is_sent_to_the_ledger_with_the_token_for_the_books(execution: Execution, layout: Layout) -> None:
    execution.answer = (200, b'{"note": "taken back"}')
    said = correct_entry(execution.platform, layout, CorrectionWord(7, "DEPOSIT", "ticket 4711", ""), None)
    token = first_token_file(layout, TokenScope.BOOKS).read_text().strip()
    body = {"entry": 7, "booked_as": "DEPOSIT", "reason": "ticket 4711", "actor": ""}
    assert execution.calls == [("POST", "/v1/corrections", f"Bearer {token}", body)]
    assert said == "entry 7: taken back"


def test_another_token_can_be_named(execution: Execution, layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("tgt_mine\n")
    resolve_order(execution.platform, layout, "tg1", WORD, tmp_path / "mine")
    assert execution.calls[0][2] == "Bearer tgt_mine"
    with pytest.raises(ConsoleError, match="cannot be read") as caught:
        resolve_order(execution.platform, layout, "tg1", WORD, tmp_path / "none")
    assert caught.value.code is ConsoleExit.USAGE


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        ((409, b'{"detail": "the venue shows it as OPEN"}'), ConsoleExit.NOT_HEALTHY, "the venue shows it as OPEN"),
        ((404, b'{"detail": "no order tg1 is held"}'), ConsoleExit.NOT_HEALTHY, "no order tg1 is held"),
        ((503, b'{"detail": "not the active one"}'), ConsoleExit.TEMPORARY, "not the active one"),
        ((200, b"<html>"), ConsoleExit.TEMPORARY, "does not answer"),
    ],
)
def test_a_word_that_is_not_taken_fails_with_the_reason(
    execution: Execution, layout: Layout, answer: tuple[int, bytes], code: ConsoleExit, says: str
) -> None:
    execution.answer = answer
    with pytest.raises(ConsoleError, match=says) as caught:
        resolve_order(execution.platform, layout, "tg1", WORD, None)
    assert caught.value.code is code


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("tg1", "--outcome", "FILLED", "--reason", "r"), 2, "is none of CANCELLED, EXPIRED"),
        (("tg1", "--outcome", "CANCELLED"), 2, "--reason"),
        (("tg1", "--outcome", "cancelled", "--reason", "r"), 69, "no platform runs"),
        (("--drift", "USDT", "--amount", "1e3", "--reason", "r"), 2, "is no amount"),
        (("--drift", "USDT", "--reason", "r"), 2, "either ORDER with --outcome"),
        (("tg1", "--drift", "USDT", "--amount", "1", "--reason", "r"), 2, "either ORDER with --outcome"),
        (("--drift", "USDT", "--amount", "-1.5", "--reason", "r"), 69, "no platform runs"),
        (("correct", "7", "--as", "GIFT", "--reason", "r"), 2, "is none of DEPOSIT, WITHDRAWAL"),
        (("correct", "0", "--as", "FEE", "--reason", "r"), 2, "for 'entry'"),
        (("correct", "7", "--as", "fee", "--reason", "r"), 69, "no platform runs"),
    ],
)
def test_the_command_line_names_what_is_wrong(tmp_path: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    command = [TOLLGATE, *(() if arguments[0] == "correct" else ("resolve",)), *arguments, "--state-dir", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - ours
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr
