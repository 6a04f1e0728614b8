"""Orders that are taken, end and are asked after: each call when all goes well, and what an order id is worth."""

import re
from dataclasses import replace

from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import TimeInForce
from tollgate_venues.conformance.bench import Bench
from tollgate_venues.conformance.verdict import expect, expect_equal
from tollgate_venues.evidence import Failure

_DEAD = frozenset({ReportStatus.CANCELLED, ReportStatus.REJECTED})


async def a_resting_order_is_open_until_it_is_cancelled(bench: Bench) -> None:
    """Submit, look up and cancel name the order and how it stands, each under its own source."""
    order = bench.resting()
    placed = await bench.place(order)
    expect_equal((placed.source, placed.client_order_id), (ReportSource.SUBMIT, order.client_order_id), "the answer")
    expect(bool(placed.venue_order_id), "the venue's own id comes with the answer to a submit")
    expect(placed.trades == () and not placed.cumulative_quantity, "nothing has traded")
    asked = await bench.until(bench.named(order, placed), lambda each: each.status is not ReportStatus.ABSENT)
    expect_equal((asked.source, asked.status), (ReportSource.QUERY, ReportStatus.OPEN), "the look-up")
    expect_equal(asked.venue_order_id, placed.venue_order_id, "the venue's own id")
    cancelled = await bench.venue.cancel(bench.named(order, placed))
    expect_equal(cancelled.source, ReportSource.CANCEL, "source of a cancel")
    if bench.venue.capabilities.cancels_at_once:
        expect_equal(cancelled.status, ReportStatus.CANCELLED, "status after a cancel")
    ended = await bench.ended(bench.named(order, placed))
    expect_equal((ended.status, ended.trades), (ReportStatus.CANCELLED, ()), "how it ended")


async def an_order_is_found_and_cancelled_by_our_id_alone(bench: Bench) -> None:
    """After a submit that was never answered, the venue's own id is not known: our own must be enough."""
    order = bench.resting()
    placed = await bench.place(order)
    asked = await bench.until(bench.named(order), lambda each: each.status is not ReportStatus.ABSENT)
    expect_equal(asked.status, ReportStatus.OPEN, "found by our id")
    expect_equal(asked.venue_order_id, placed.venue_order_id, "the venue's own id")
    expect_equal(asked.client_order_id, order.client_order_id, "our id, in our spelling")
    await bench.venue.cancel(bench.named(order))
    ended = await bench.ended(bench.named(order))
    expect_equal((ended.client_order_id, ended.status), (order.client_order_id, ReportStatus.CANCELLED), "its end")


async def an_order_that_takes_comes_with_every_trade(bench: Bench) -> None:
    """The trades of a filled order come to its quantity, to the last digit."""
    order, ended = await bench.fill()
    expect_equal(sum(trade.quantity for trade in ended.trades), order.quantity, "sum of the trades")
    expect_equal(ended.cumulative_quantity, order.quantity, "the venue's own count")
    expect(len({trade.trade_id for trade in ended.trades}) == len(ended.trades), "each trade has an id of its own")
    limit = bench.world.market.crossing_price
    expect(all(trade.price <= limit for trade in ended.trades), "no trade is worse than the limit")


async def an_immediate_order_that_meets_nothing_is_over(bench: Bench) -> None:
    """The rest of an immediate order is cancelled, and nothing of it stays at the venue."""
    order = replace(bench.resting(), time_in_force=TimeInForce.IOC)
    placed = await bench.venue.submit(order)
    ended = await bench.ended(bench.named(order, placed))
    expect(ended.status in {ReportStatus.CANCELLED, ReportStatus.EXPIRED}, f"it has ended: {ended}")
    expect_equal(ended.trades, (), "trades")


async def a_post_only_order_never_takes(bench: Bench) -> None:
    """One that would take is turned away, and the reason says so, so that it may be priced again."""
    order = replace(bench.resting(), limit_price=bench.world.market.crossing_price, post_only=True)
    said = await bench.venue.submit(order)
    if said.status not in _DEAD:
        said = await bench.ended(bench.named(order, said))
    expect(said.status in _DEAD, f"it is turned away: {said}")
    expect_equal((said.reason, said.trades), (Reason.PRICE_CROSSED_POST_ONLY, ()), "why")


async def a_stop_waits_for_its_trigger(bench: Bench) -> None:
    """A stop whose trigger is far is open, does not trade though its limit would, and can be cancelled."""
    crossing = bench.world.market.crossing_price
    order = replace(bench.resting(), limit_price=crossing, trigger_price=crossing)
    placed = await bench.place(order)
    asked = await bench.until(bench.named(order, placed), lambda each: each.status is not ReportStatus.ABSENT)
    expect_equal((asked.status, asked.trades), (ReportStatus.OPEN, ()), "it waits")
    await bench.venue.cancel(bench.named(order, placed))
    ended = await bench.ended(bench.named(order, placed))
    expect_equal((ended.status, ended.trades), (ReportStatus.CANCELLED, ()), "its end")


async def what_the_account_cannot_pay_for_is_rejected(bench: Bench) -> None:
    """And the reason is the one for missing cash."""
    said = await bench.venue.submit(replace(bench.resting(), quantity=bench.world.market.beyond_quantity))
    expect_equal((said.status, said.reason), (ReportStatus.REJECTED, Reason.CASH_INSUFFICIENT), "the answer")


async def what_the_rules_do_not_allow_is_rejected_and_leaves_no_order(bench: Bench) -> None:
    """A symbol that is not traded, and a quantity below any least one: rejected in the venue's own words."""
    market = bench.world.market
    for order in (
        replace(bench.resting(), symbol=f"NO{market.base}-{market.quote}"),
        replace(bench.resting(), quantity=market.step),
    ):
        said = await bench.venue.submit(order)
        expect_equal(said.status, ReportStatus.REJECTED, f"status ({said.detail})")
        expect(said.reason is not None and bool(said.detail), "a rejection says why")
        expect(said.failure in {None, Failure.REFUSED}, f"it is a refusal: {said.failure}")
        ids = {each.client_order_id for each in await bench.venue.open_orders()}
        expect(order.client_order_id not in ids, "a rejected order is not open")


async def a_market_that_is_not_open_takes_cancels_alone(bench: Bench) -> None:
    """After an outage a venue comes back cancel-only: new orders are rejected by name, cancels go through."""
    order = bench.resting()
    placed = await bench.place(order)
    await bench.world.set_open(False)
    try:
        said = await bench.venue.submit(bench.resting())
        expect_equal((said.status, said.reason), (ReportStatus.REJECTED, Reason.VENUE_NOT_OPEN), "a new order")
        await bench.venue.cancel(bench.named(order, placed))
        expect_equal((await bench.ended(bench.named(order, placed))).status, ReportStatus.CANCELLED, "the old one")
    finally:
        await bench.world.set_open(True)


async def an_order_that_nobody_placed_is_absent(bench: Bench) -> None:
    """Asked after or cancelled: absent, and not an error."""
    unknown = bench.named(bench.resting())
    asked, cancelled = await bench.venue.query(unknown), await bench.venue.cancel(unknown)
    expect_equal((asked.status, asked.failure), (ReportStatus.ABSENT, None), f"look-up ({asked.detail})")
    expect_equal((cancelled.status, cancelled.failure), (ReportStatus.ABSENT, None), f"cancel ({cancelled.detail})")
    expect_equal((asked.source, cancelled.source), (ReportSource.QUERY, ReportSource.CANCEL), "sources")


async def a_cancel_of_what_is_over_tells_how_it_ended(bench: Bench) -> None:
    """A cancel that lost its race with a fill is no failure and no second end."""
    order, ended = await bench.fill()
    cancelled = await bench.venue.cancel(bench.named(order, ended))
    expect_equal((cancelled.status, cancelled.failure), (ReportStatus.FILLED, None), "after a cancel too late")
    other = bench.resting()
    placed = await bench.place(other)
    await bench.venue.cancel(bench.named(other, placed))
    first = await bench.ended(bench.named(other, placed))
    again = await bench.venue.cancel(bench.named(other, placed))
    expect_equal((first.status, again.status), (ReportStatus.CANCELLED, ReportStatus.CANCELLED), "cancelled twice")


async def a_second_submit_of_the_same_id_is_never_a_rejection(bench: Bench) -> None:
    """An order of this id is alive: calling the second one rejected would free what the first one holds."""
    order = bench.resting()
    placed = await bench.place(order)
    again = await bench.venue.submit(order)
    expect(again.status in {ReportStatus.NO_ANSWER, ReportStatus.OPEN}, f"the second submit: {again}")
    if again.status is ReportStatus.OPEN:
        expect_equal(again.venue_order_id, placed.venue_order_id, "it is the first order that is named")
    of_this_id = [each for each in await bench.venue.open_orders() if each.client_order_id == order.client_order_id]
    expect_equal([each.venue_order_id for each in of_this_id], [placed.venue_order_id], "orders at the venue")


async def an_id_that_another_order_has_is_not_ours(bench: Bench) -> None:
    """A venue that answers with the order it has must not make us believe that it has taken this one."""
    order = bench.resting()
    placed = await bench.place(order)
    other = replace(order, quantity=order.quantity + bench.world.market.step)
    said = await bench.venue.submit(other)
    expect_equal((said.status, said.reason), (ReportStatus.NO_ANSWER, Reason.VENUE_UNKNOWN_OUTCOME), "the answer")
    asked = await bench.venue.query(bench.named(order, placed))
    expect_equal((asked.status, asked.venue_order_id), (ReportStatus.OPEN, placed.venue_order_id), "the first order")


async def two_orders_of_one_id_are_not_taken_for_one(bench: Bench) -> None:
    """Where ids protect from nothing, a look-up by id that finds two says neither the one nor the other."""
    order = bench.resting()
    first, second = await bench.place(order), await bench.place(order)
    expect(first.venue_order_id != second.venue_order_id, "the venue took it as a second order")
    asked = await bench.venue.query(bench.named(order))
    expect_equal(asked.status, ReportStatus.NO_ANSWER, "a look-up by the id that both have")
    for each in (first, second):
        found = await bench.venue.query(bench.named(order, each))
        expect_equal((found.status, found.venue_order_id), (ReportStatus.OPEN, each.venue_order_id), "each by its own")


async def the_longest_id_comes_back_as_it_was_sent(bench: Bench) -> None:
    """The charset and the length that the adapter names are what the venue takes, and no id is cut."""
    capabilities = bench.venue.capabilities
    stem = bench.world.new_id()
    longest = (stem + "0" * capabilities.client_id_length_max)[: capabilities.client_id_length_max]
    for client_order_id in (stem, longest):
        fits = re.fullmatch(capabilities.client_id_pattern, client_order_id)
        expect(fits is not None, f"{client_order_id} is of {capabilities.client_id_pattern}")
    order = replace(bench.resting(), client_order_id=longest)
    placed = await bench.place(order)
    asked = await bench.until(bench.named(order), lambda each: each.status is not ReportStatus.ABSENT)
    listed = {each.client_order_id for each in await bench.venue.open_orders()}
    expect_equal((placed.client_order_id, asked.client_order_id), (longest, longest), "the id")
    expect(longest in listed, "the list of open orders has it in full")
