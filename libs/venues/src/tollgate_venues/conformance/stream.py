"""The user stream: what happens to orders, told once and in order, and a loss that is never passed over."""

from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_venues.adapter import UserStreamLost
from tollgate_venues.conformance.bench import Bench, wait_until
from tollgate_venues.conformance.verdict import NotConformant, expect, expect_equal
from tollgate_venues.conformance.world import Disturbance


async def the_stream_tells_what_happens_to_orders(bench: Bench) -> None:
    """An order that rests and is cancelled, and one that trades, with the trades that a look-up has."""
    async with bench.listening() as heard:
        resting = bench.resting()
        reference = bench.named(resting, await bench.place(resting))
        taking, ended = await bench.fill()
        await bench.venue.cancel(reference)
        own = resting.client_order_id
        await wait_until(lambda: any(each.status is ReportStatus.CANCELLED for each in heard.of(own)), "the cancel")
        await wait_until(lambda: len(heard.trades(taking.client_order_id)) >= len(ended.trades), "the trades")
        statuses = [each.status for each in heard.of(own)]
        expect_equal((statuses[0], statuses[-1]), (ReportStatus.OPEN, ReportStatus.CANCELLED), "what rested")
        expect_equal(heard.trades(taking.client_order_id), ended.trades, "the trades")
        expect_equal({each.source for each in heard.evidence}, {ReportSource.STREAM}, "sources")
        expect_equal(heard.lost, None, "the stream is up")


async def the_stream_tells_of_a_bust(bench: Bench) -> None:
    """A trade that the venue takes back comes by its id, and as nothing else."""
    order, ended = await bench.fill()
    trade_id = ended.trades[-1].trade_id
    async with bench.listening() as heard:
        await bench.world.bust(trade_id)
        own = order.client_order_id
        await wait_until(lambda: any(each.busted for each in heard.of(own)), "the bust")
        busts = [each for each in heard.of(own) if each.busted]
        expect_equal([(each.status, each.busted) for each in busts], [(ReportStatus.TRADED, (trade_id,))], "the bust")
        expect_equal(heard.trades(own), (), "trades that came with it")


async def a_lost_connection_is_told(bench: Bench) -> None:
    """The iteration ends with ``UserStreamLost``, and the next one begins afresh."""
    async with bench.listening() as heard:
        await bench.world.disturb(Disturbance.LOST)
        await wait_until(lambda: heard.lost is not None, "the loss")
    async with bench.listening() as again:
        order = bench.resting()
        await bench.place(order)
        await wait_until(lambda: bool(again.of(order.client_order_id)), "an order after the loss")


async def a_silent_stream_is_lost(bench: Bench) -> None:
    """An open connection without a heartbeat is not one that nothing happens on."""
    async with bench.listening() as heard:
        await bench.world.disturb(Disturbance.SILENT)
        await bench.place(bench.resting())
        await wait_until(lambda: heard.lost is not None, "the loss")
        expect_equal(heard.evidence, [], "what came")


async def a_missing_message_is_a_loss(bench: Bench) -> None:
    """Heartbeats that go on prove nothing about what was left out."""
    async with bench.listening() as heard:
        await bench.world.disturb(Disturbance.MISSING)
        await bench.place(bench.resting())
        await wait_until(lambda: heard.lost is not None, "the loss")


async def a_message_that_comes_twice_is_one(bench: Bench) -> None:
    """The same message again is neither a second trade nor a gap."""
    async with bench.listening() as heard:
        await bench.world.disturb(Disturbance.REPEATED)
        order, ended = await bench.fill()
        other = bench.resting()
        await bench.place(other)
        await wait_until(lambda: bool(heard.of(other.client_order_id)), "an order after the repeated one")
        expect_equal(heard.trades(order.client_order_id), ended.trades, "trades, each once")
        expect_equal(heard.lost, None, "the stream is up")


async def a_stream_under_a_wrong_secret_is_refused(bench: Bench) -> None:
    """Nobody is told that we listen when the venue has not accepted us."""
    stranger = await bench.world.stranger()
    try:
        async with Bench(stranger, bench.world).listening():
            raise AssertionError("the venue has accepted a wrong secret")
    except NotConformant as refused:
        expect(UserStreamLost.__name__ not in str(refused) and "refused" in str(refused), f"how it ended: {refused}")
    finally:
        await stranger.close()
