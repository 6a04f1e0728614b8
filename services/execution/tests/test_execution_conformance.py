"""The suite of ``tollgate_venues.conformance`` over the adapters that are here.

The simulated exchange runs as a process in each of its manners, and a recording of each case is replayed.
"""

import asyncio
import importlib.util
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from execution_venue_world import (
    KEY,
    MARKET,
    Between,
    Exchange,
    RememberedWorld,
    RememberingWorld,
    SimulatedWorld,
    exchange_process,
)

from tollgate_contracts.execution import ReportStatus
from tollgate_contracts.money import round_down
from tollgate_execution.venues import simulated
from tollgate_execution.venues.manners import Manner
from tollgate_execution.venues.recorded import RecordingVenue, ReplayedVenue
from tollgate_execution.venues.simulated import SimulatedVenue
from tollgate_venues.adapter import OrderReference, VenueOrder
from tollgate_venues.conformance import CASES, Case, NotConformant, run
from tollgate_venues.evidence import Evidence, Failure, FillPage


@pytest.fixture(scope="module", params=list(Manner))
def exchange(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The real exchange as a process, in one manner after the other."""
    if importlib.util.find_spec("tollgate_simvenue") is None:
        pytest.skip("tollgate-simvenue is not installed here")
    with exchange_process(tmp_path_factory.mktemp(request.param), request.param) as running:
        yield running


@pytest.fixture
async def world(exchange: Exchange) -> AsyncIterator[SimulatedWorld]:
    between = Between(exchange.url)
    async with between.serving() as url:
        world = SimulatedWorld(exchange, between, url)
        yield world
        await world.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_simulated_adapter_conforms_and_so_does_its_recording(
    case: Case, world: SimulatedWorld, tmp_path: Path
) -> None:
    """The same case passes against the exchange, and against what was written down while it did."""
    path = tmp_path / "recording.jsonl"
    remembering = RememberingWorld(world, tmp_path)
    recording = RecordingVenue(world.adapter(), path)
    await recording.connect()
    skipped = await run(case, recording, remembering)
    await recording.close()
    if skipped is not None:
        pytest.skip(f"{case.name}: {skipped}")
    replayed = ReplayedVenue(path)
    assert await run(case, replayed, RememberedWorld(remembering)) is None
    await replayed.close()
    assert not [secret for secret in world.secrets if secret in path.read_text()]


class AsksAgain(SimulatedVenue):
    """Looks up once more when there was no answer."""

    async def query(self, reference: OrderReference) -> Evidence:
        said = await super().query(reference)
        return said if said.failure is None else await super().query(reference)


class LetsItsLibraryAskAgain(SimulatedVenue):
    """Leaves on what the HTTP library does by itself when a kept connection breaks."""

    async def submit(self, order: VenueOrder) -> Evidence:
        self._calls._connected()._retry_connection = True
        return await super().submit(order)


class SendsAgain(SimulatedVenue):
    """Sends once more when there was no answer."""

    async def submit(self, order: VenueOrder) -> Evidence:
        said = await super().submit(order)
        return said if said.failure is not Failure.NO_ANSWER else await super().submit(order)


class TakesSilenceForNo(SimulatedVenue):
    """Says that an order was rejected because nothing was heard."""

    async def submit(self, order: VenueOrder) -> Evidence:
        said = await super().submit(order)
        return replace(said, status=ReportStatus.REJECTED) if said.status is ReportStatus.NO_ANSWER else said


class TakesErrorsForAbsence(SimulatedVenue):
    """Says that an order is not there because it could not be asked after."""

    async def query(self, reference: OrderReference) -> Evidence:
        said = await super().query(reference)
        return replace(said, status=ReportStatus.ABSENT) if said.status is ReportStatus.NO_ANSWER else said


class Rounds(SimulatedVenue):
    """Makes an order fit the grid that nobody approved so."""

    async def submit(self, order: VenueOrder) -> Evidence:
        return await super().submit(replace(order, quantity=round_down(order.quantity, MARKET.step)))


class CalculatesInFloats(SimulatedVenue):
    """Reads a number by way of a float."""

    async def query(self, reference: OrderReference) -> Evidence:
        said = await super().query(reference)
        return replace(said, cumulative_quantity=float(said.cumulative_quantity or 0))  # type: ignore[arg-type]


class ForgetsToWait(SimulatedVenue):
    """Loses what the venue asks us to wait."""

    async def submit(self, order: VenueOrder) -> Evidence:
        return replace(await super().submit(order), retry_after_us=None)


class CutsIds(SimulatedVenue):
    """Sends no more of an id than it likes."""

    async def submit(self, order: VenueOrder) -> Evidence:
        return await super().submit(replace(order, client_order_id=order.client_order_id[:32]))


class ListsTheFirstPage(SimulatedVenue):
    """Reads fills from the beginning, whatever the cursor."""

    async def fills_since(self, cursor: str) -> FillPage:
        page = await super().fills_since("")
        return replace(page, cursor=cursor or page.cursor, is_last=True)


class SaysEverythingTwice(SimulatedVenue):
    """Passes each frame of the stream on twice."""

    async def user_stream(self, listening: asyncio.Event | None = None) -> AsyncIterator[Evidence]:
        async for evidence in super().user_stream(listening):
            yield evidence
            yield evidence


class ShowsItsKey(SimulatedVenue):
    """Has its key in how it looks."""

    def __repr__(self) -> str:
        return f"ShowsItsKey({KEY.api_key})"


class LetsItsLibraryLog(SimulatedVenue):
    """Leaves on what the WebSocket library says of each frame at the lowest level."""

    async def user_stream(self, listening: asyncio.Event | None = None) -> AsyncIterator[Evidence]:
        simulated._STREAM_LOG.setLevel(logging.DEBUG)
        try:
            async for evidence in super().user_stream(listening):
                yield evidence
        finally:
            simulated._STREAM_LOG.setLevel(logging.INFO)


FLAWS: list[tuple[type[SimulatedVenue], str]] = [
    (AsksAgain, "a_call_that_meets_server_error"),
    (LetsItsLibraryAskAgain, "a_call_that_meets_broken"),
    (SendsAgain, "an_order_that_was_taken_broken_is_found_once"),
    (TakesSilenceForNo, "an_order_that_was_taken_server_error_is_found_once"),
    (TakesErrorsForAbsence, "a_call_that_meets_strange_not_found"),
    (Rounds, "what_is_off_the_grid_is_rejected_and_never_rounded"),
    (CalculatesInFloats, "no_number_is_a_float_on_its_way"),
    (ForgetsToWait, "a_call_that_meets_rate_limited_with_2_s_to_wait"),
    (CutsIds, "the_longest_id_comes_back_as_it_was_sent"),
    (ListsTheFirstPage, "fills_are_read_on_from_a_cursor"),
    (SaysEverythingTwice, "the_stream_tells_what_happens_to_orders"),
    (ShowsItsKey, "no_secret_is_in_anything_that_is_said"),
    (LetsItsLibraryLog, "no_secret_is_in_anything_that_is_said"),
]


@pytest.mark.parametrize("exchange", [Manner.TOLLGATE], indirect=True)
@pytest.mark.parametrize(("flawed", "case_name"), FLAWS, ids=lambda each: getattr(each, "__name__", each))
async def test_the_suite_finds_an_adapter_out(
    flawed: type[SimulatedVenue], case_name: str, world: SimulatedWorld
) -> None:
    """Each flaw has cost somebody an order, or a key; the case that is there for it fails."""
    (case,) = (each for each in CASES if each.name == case_name)
    adapter = world.adapter(of=flawed)
    with pytest.raises(NotConformant):
        await run(case, adapter, world)
    await adapter.close()


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
