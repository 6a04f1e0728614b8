"""A door behind which nothing can be changed: its calls are in the log, and nothing of them waits for the tape."""

import time
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from tollgate_chassis import operator_door
from tollgate_chassis.operator_door import BURST, REFUSALS_BURST, OperatorDoor
from tollgate_chassis.operator_trail import WAITING_MAX, CallLog
from tollgate_chassis.operators import TOKENS_FILE, OperatorTokens, TokenList, TokenScope, mint
from tollgate_chassis.telemetry.metrics import operators as metrics

READER, TEXT = mint("reader", (TokenScope.READ,), time.time_ns() // 1_000, 30)


def client(directory: Path) -> httpx.AsyncClient:
    path = directory / TOKENS_FILE
    path.write_text(TokenList(tokens=(READER,)).model_dump_json())
    path.chmod(0o600)
    # Nobody can stop or release anything here, so the list needs no token for that.
    router = OperatorDoor(OperatorTokens.open(path, time.time_ns() // 1_000, needs=()), CallLog()).router()

    @router.get("/thing")
    async def look() -> dict[str, int]:
        return {}

    app = FastAPI()
    app.include_router(router)
    headers = {"Authorization": f"Bearer {TEXT}"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://door", headers=headers)


async def test_each_call_is_in_the_log_with_who_and_what_and_without_a_token(tmp_path: Path, capsys: Any):
    reader = client(tmp_path)
    assert (await reader.get(f"/v1/thing?token={TEXT}")).status_code == 200
    assert (await reader.get("/v1/thing", headers={"Authorization": ""})).status_code == 401
    said = capsys.readouterr().out
    assert "operator.call" in said
    assert "/v1/thing?token=tgt_[redacted]" in said
    assert "reader" in said
    assert "a token is needed" in said
    assert TEXT not in said


async def test_no_call_waits_for_room_on_a_tape(tmp_path: Path, monkeypatch: Any):
    """A trail without a tape is full after so many calls; this is none."""
    monkeypatch.setattr(operator_door, "BURST", WAITING_MAX + 10)
    reader = client(tmp_path)
    assert {(await reader.get("/v1/thing")).status_code for _ in range(WAITING_MAX + 5)} == {200}


async def test_a_reader_is_held_to_its_rate_and_a_flood_of_strangers_is_counted(tmp_path: Path, monkeypatch: Any):
    class Stopped:
        monotonic = staticmethod(lambda: 1_000.0)
        time_ns = staticmethod(time.time_ns)

    monkeypatch.setattr(operator_door, "time", Stopped)
    reader = client(tmp_path)
    answers = [(await reader.get("/v1/thing")).status_code for _ in range(BURST + 1)]
    assert answers == [200] * BURST + [429]
    before = metrics.OPERATOR_CALLS_UNRECORDED.labels("flood")._value.get()
    for _ in range(REFUSALS_BURST):
        answer = await reader.get("/v1/thing", headers={"Authorization": ""})
    assert answer.status_code == 429
    assert metrics.OPERATOR_CALLS_UNRECORDED.labels("flood")._value.get() == before + 1
