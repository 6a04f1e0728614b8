"""A drift that nothing explains, at the operators' door: the word goes on the tape, counts once, and ends safe mode."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from execution_operators import BEARERS, new_door
from execution_platform import Platform
from fastapi import FastAPI

from tollgate_contracts.money import ZERO
from tollgate_contracts.reconciliation import Balance, Movement, MovementType, Sync
from tollgate_execution import explaining
from tollgate_execution.api import build_router
from tollgate_execution.core import ExecutionCore
from tollgate_execution.explaining import Explainer, Explanation

PATH = "/v1/drifts/USDT"
WORD = {"amount": "-7.5", "reason": "lost in the venue's migration", "actor": "ann"}


@pytest.fixture
async def platform(database: Any, nats_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    platform = Platform(database, nats_url, tmp_path)
    section = platform.settings.execution
    sync = section.sync.model_copy(update={"interval_ms": 150, "statements": 2})
    section = section.model_copy(update={"sync": sync})
    platform.settings = platform.settings.model_copy(update={"execution": section})
    platform.arm()
    yield platform
    await platform.stop()


def client_of(platform: Platform, directory: Path) -> httpx.AsyncClient:
    app = FastAPI()
    words = (platform.shell.resolve, platform.shell.explain)
    app.include_router(build_router(platform.core, platform.door, new_door(directory), *words))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://execution")


def state_balance(platform: Platform, usdt: str) -> None:
    platform.venue.balances = (Balance(currency="USDT", free=Decimal(usdt), locked=ZERO),)


def unexplained(platform: Platform) -> list[Movement]:
    movements = [message for message in platform.messages() if isinstance(message, Movement)]
    return [each for each in movements if each.movement is MovementType.UNEXPLAINED]


def open_differences(platform: Platform) -> int:
    return [message for message in platform.messages() if isinstance(message, Sync)][-1].open_differences


async def drift(platform: Platform, by: str) -> None:
    """Let the venue state so much more than is expected, until it is said."""
    await platform.start()
    await platform.until(lambda: platform.core.portfolio is not None and platform.core.portfolio.opened)
    assert platform.core.portfolio is not None
    state_balance(platform, str(platform.core.portfolio.cash + Decimal(by)))
    await platform.until(lambda: platform.core.agreement.drifting == ("USDT",))


async def test_the_word_is_booked_and_the_platform_agrees_again(platform: Platform, tmp_path: Path) -> None:
    await drift(platform, "-7.5")
    await platform.until(lambda: open_differences(platform) == 1)
    client = client_of(platform, tmp_path)
    assert (await client.get("/v1/drifts", headers=BEARERS["read"])).json() == {"USDT": "-7.5"}
    answer = await client.post(PATH, headers=BEARERS["books"], json=WORD)
    assert (answer.status_code, answer.json()["note"]) == (200, "booked in suspense; 0 USDT of the drift is left")
    (said,) = unexplained(platform)
    assert (said.currency, said.amount) == ("USDT", Decimal("-7.5"))
    assert said.detail == "ann (books): lost in the venue's migration"
    await platform.until(lambda: platform.core.agreement.drifting == ())
    await platform.until(lambda: open_differences(platform) == 0)
    assert (await client.post(PATH, headers=BEARERS["books"], json=WORD)).status_code == 404, "it is over"
    await client.aclose()


@pytest.mark.parametrize(
    ("change", "scope", "status"),
    [
        ({"amount": "7.5"}, "books", 409),
        ({"amount": "-7.50000001"}, "books", 409),
        ({"amount": "0"}, "books", 409),
        ({"amount": "1e3"}, "books", 422),
        ({"amount": 7}, "books", 422),
        ({"reason": " "}, "books", 422),
        ({}, "release", 403),
        ({}, "read", 403),
    ],
)
async def test_a_word_that_is_no_part_of_the_drift_or_not_allowed_is_refused(
    platform: Platform, tmp_path: Path, change: dict[str, Any], scope: str, status: int
) -> None:
    await drift(platform, "-7.5")
    client = client_of(platform, tmp_path)
    answer = await client.post(PATH, headers=BEARERS[scope], json={**WORD, **change})
    assert answer.status_code == status
    assert (await client.post("/v1/drifts/BTC", headers=BEARERS["books"], json=WORD)).status_code == 404
    assert unexplained(platform) == []
    await client.aclose()


async def test_of_two_words_at_once_the_second_finds_what_the_first_has_left(platform: Platform) -> None:
    """So a click too many books nothing twice, whether or not the venue has stated its balance in between."""
    await drift(platform, "-7.5")
    said = await asyncio.gather(*(platform.shell.explain("USDT", Decimal("-7.5"), "twice") for _ in range(2)))
    assert said[0].explanation is Explanation.BOOKED
    assert said[1].explanation in {Explanation.NOT_JUDGED, Explanation.NO_DRIFT}
    assert len(unexplained(platform)) == 1


async def test_a_word_that_is_not_read_back_yet_is_not_taken_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has waited in vain tries again: that must not book it twice, and turn the drift round."""
    monkeypatch.setattr(explaining, "_READ_BACK_S", 0.0)
    await drift(platform, "-7.5")
    said = [await platform.shell.explain("USDT", Decimal("-7.5"), "patience") for _ in range(2)]
    assert [each.explanation for each in said] == [Explanation.SAID, Explanation.NOT_JUDGED]
    await platform.until(lambda: platform.core.agreement.drifting == ())
    assert [each.amount for each in unexplained(platform)] == [Decimal("-7.5")]


async def test_of_a_part_of_a_drift_the_rest_is_said_when_the_venue_has_stated_it_again(platform: Platform) -> None:
    await drift(platform, "-7.5")
    first = await platform.shell.explain("USDT", Decimal(-3), "a part")
    second = await platform.shell.explain("USDT", Decimal("-4.5"), "at once")
    assert (first.explanation, second.explanation) == (Explanation.BOOKED, Explanation.NOT_JUDGED)
    rules = platform.core.parameters
    assert rules is not None
    await platform.until(lambda: platform.core.agreement.is_judged("USDT", rules.sync))
    assert (await platform.shell.explain("USDT", Decimal("-4.5"), "the rest")).explanation is Explanation.BOOKED
    await platform.until(lambda: platform.core.agreement.drifting == ())
    assert len({each.movement_id for each in unexplained(platform)}) == 2


async def test_an_instance_that_stands_by_takes_no_word() -> None:
    explained = await Explainer(ExecutionCore(_nobody), lambda: None).explain("USDT", Decimal(1), "r")
    assert explained.explanation is Explanation.NOT_ACTIVE


def _nobody(*_arguments: Any) -> Any:
    raise AssertionError("nothing is verified here")
