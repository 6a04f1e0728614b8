"""The simulation's journal answers as the real one over Postgres does: the same script against both, compared."""

from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any

import pytest
from execution_samples import signed_approval, submit_of

from tests.simulation.database import Database
from tollgate_execution.core import Submit
from tollgate_execution.core.placing import Leg
from tollgate_execution.store import Fenced, Journal, Settlement


def submit(number: int, attempt: int = 1, leg: Leg = Leg.ORDER, **changes: Any) -> Submit:
    made = submit_of(signed_approval(number), f"risk:{number}:0")
    placing = made.placing
    for _ in range(attempt - 1):
        placing = placing.next(placing.limit_price)  # type: ignore[arg-type]
    fields = {"placing": _with_leg(placing, leg), **changes}
    return Submit(made.decision_id, made.approval, made.signed, made.approval_hash, **fields)


def _with_leg(placing: Any, leg: Leg) -> Any:
    if leg is Leg.ORDER:
        return placing
    taken = {name: getattr(placing, name) for name in type(placing).__slots__}
    return type(placing)(**{**taken, "leg": leg, "venue_id": f"tg{_digits(placing.venue_id):030x}"})


def _digits(venue_id: str) -> int:
    return int(venue_id.removeprefix("tg"), base=16) ^ (1 << 64)


class Both:
    """Asks both and holds one against the other."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._database = Database()
        self._epoch = 0

    async def take_lease(self) -> None:
        self._epoch = self._database.take_lease()
        assert await self._journal.take_lease("script") == self._epoch

    def lose_lease(self) -> None:
        """Go on under the lease of the one before."""
        self._epoch -= 1
        self._journal.epoch -= 1

    async def prepare(self, wanted: Submit) -> str:
        ours = await _outcome(lambda: _done(self._database.prepare(wanted, self._epoch, 1)))
        assert await _outcome(lambda: self._journal.prepare(wanted)) == ours
        return ours

    async def prepare_resend(self, wanted: Submit) -> str:
        ours = await _outcome(lambda: _done(self._database.prepare_resend(wanted, self._epoch)))
        assert await _outcome(lambda: self._journal.prepare_resend(wanted)) == ours
        return ours

    async def settle(self, wanted: Submit, state: str, *, is_over: bool) -> None:
        settlement = Settlement(wanted.placing.venue_id, state, None, 5, "{}", 6 if is_over else None)
        self._database.settle([settlement])
        await self._journal.settle([settlement])

    async def compare(self, ids: list[str]) -> None:
        assert {*await self._journal.load_unsettled()} == {*self._database.load_unsettled()}
        assert await self._journal.which_are_there(ids) == self._database.which_are_there(ids)
        found = {each.client_order_id: each for each in await self._journal.find(ids)}
        assert found == {each.client_order_id: each for each in self._database.find(ids)}


async def _done(value: Any) -> Any:
    return value


async def _outcome(act: Callable[[], Awaitable[Any]]) -> str:
    try:
        return str((await act()).value)
    except Fenced:
        return "fenced"


@pytest.fixture
async def both(database: Any) -> AsyncIterator[Both]:
    journal = await Journal.connect(database.dsn("tollgate_execution"), "main")
    yield Both(journal)
    await journal.close()


@pytest.mark.parametrize("seed", range(12))
async def test_the_simulated_journal_answers_as_the_real_one(both: Both, seed: int) -> None:
    """Rows used twice, attempts out of turn, resends, late settlements, and a lease that was lost."""
    chance = Random(seed)  # noqa: S311 - it is to be the same each time
    await both.take_lease()
    places = [
        submit(number, attempt, leg)
        for number in (1, 2)
        for leg in (Leg.ORDER, Leg.PROTECTION)
        for attempt in (1, 2, 3)
    ]
    seen = set()
    for step in range(60):
        wanted = chance.choice(places[:4] if step < 20 else places)
        match chance.randrange(8):
            case 0 | 1 | 2:
                seen.add(await both.prepare(wanted))
            case 3:
                again = submit(1, resend=chance.choice((1, 1, 2)))
                seen.add(await both.prepare_resend(again))
            case 4 | 5 | 6:
                await both.settle(wanted, chance.choice(("ACKNOWLEDGED", "REJECTED")), is_over=chance.random() < 0.6)
            case 7 if step == 59 or chance.random() < 0.3:
                await both.take_lease()
    both.lose_lease()
    seen.add(await both.prepare(submit(9)))
    await both.compare([each.placing.venue_id for each in places])
    assert {"prepared", "already_there", "not_yet", "fenced"} <= seen
