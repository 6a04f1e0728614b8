"""What is read in lists: open and recent orders, fills, busts, movements, the account; exact, in order, and once."""

from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_venues.conformance.bench import Bench
from tollgate_venues.conformance.verdict import expect, expect_equal
from tollgate_venues.evidence import FillEvidence


async def open_orders_are_those_that_are_open(bench: Bench) -> None:
    """Every one of them, and none that is over."""
    resting, other = bench.resting(), bench.resting()
    await bench.place(resting)
    gone = bench.named(other, await bench.place(other))
    filled, _ = await bench.fill()
    await bench.venue.cancel(gone)
    await bench.ended(gone)
    listed = {each.client_order_id: each for each in await bench.venue.open_orders()}
    expect(resting.client_order_id in listed, "what rests is listed")
    expect(not {other.client_order_id, filled.client_order_id} & set(listed), "what is over is not")
    said = listed[resting.client_order_id]
    expect_equal((said.status, said.source), (ReportStatus.OPEN, ReportSource.QUERY), "the listed order")


async def recent_orders_have_every_end_since_then(bench: Bench) -> None:
    """Orders that are open, cancelled or filled, with their trades, oldest change first, and said to be complete."""
    resting = bench.resting()
    placed = await bench.place(resting)
    expect(placed.venue_ts_us is not None, "an answer says when, by the venue's clock")
    since_us = placed.venue_ts_us or 0
    filled, ended = await bench.fill()
    page = await bench.venue.recent_orders(since_us)
    expect(page.is_complete, "a list of three orders is complete")
    said = {each.client_order_id: each for each in page.orders}
    expect_equal(said[resting.client_order_id].status, ReportStatus.OPEN, "the open one")
    expect_equal(said[filled.client_order_id].status, ReportStatus.FILLED, "the filled one")
    expect_equal(said[filled.client_order_id].trades, ended.trades, "its trades")
    times_us = [each.venue_ts_us or 0 for each in page.orders]
    expect_equal(times_us, sorted(times_us), "order of the list")
    later = await bench.venue.recent_orders(max(times_us) + 3_600_000_000)
    expect_equal((later.orders, later.is_complete), ((), True), "orders since a time that has not come")


async def fills_are_read_on_from_a_cursor(bench: Bench) -> None:
    """Each trade once, oldest first, as the order's own look-up has it; asking changes nothing."""
    begin = await bench.end_of_fills()
    first, first_ended = await bench.fill()
    second, second_ended = await bench.fill()
    page = await bench.venue.fills_since(begin)
    expected = [(first.client_order_id, trade) for trade in first_ended.trades]
    expected += [(second.client_order_id, trade) for trade in second_ended.trades]
    expect_equal([(fill.client_order_id, fill.trade) for fill in page.fills], expected, "fills")
    market = bench.world.market
    expect_equal({(fill.symbol, fill.side) for fill in page.fills}, {(market.symbol, first.side)}, "what traded")
    expect(page.is_last and page.cursor != begin, "the page is the last, and moves the cursor")
    after = await bench.venue.fills_since(page.cursor)
    expect_equal((after.fills, after.cursor, after.is_last), ((), page.cursor, True), "after the last fill")
    expect_equal(await bench.venue.fills_since(begin), page, "the same question again")


async def a_trade_that_is_taken_back_is_told(bench: Bench) -> None:
    """In the list of fills as a row of its own, and on the stream: a bust is not a trade of the other side."""
    order, ended = await bench.fill()
    begin = await bench.end_of_fills()
    busted = ended.trades[-1].trade_id
    await bench.world.bust(busted)
    page = await bench.venue.fills_since(begin)
    expected = [FillEvidence(order.client_order_id, order.symbol, order.side, None, busted, ended.venue_order_id)]
    told = [replace(each, venue_order_id=each.venue_order_id or ended.venue_order_id) for each in page.fills]
    expect_equal(told, expected, "the rows since then")


async def money_that_moves_is_no_fill(bench: Bench) -> None:
    """A movement is read once, exact, with its own id, and the account has changed by it; no fill comes of it."""
    market = bench.world.market
    begin, fills = await bench.end_of_movements(), await bench.end_of_fills()
    before, _ = await bench.quote_and_base()
    amounts = [Decimal(1234567) + market.smallest_amount, -market.smallest_amount]
    for amount in amounts:
        await bench.world.move(market.quote, amount)
    page = await bench.venue.movements_since(begin)
    expect_equal(
        [(each.currency, each.amount) for each in page.movements], [(market.quote, a) for a in amounts], "rows"
    )
    expect(len({each.movement_id for each in page.movements}) == len(amounts), "each has an id of its own")
    after, _ = await bench.quote_and_base()
    expect_equal(after - before, sum(amounts), "what the account has more")
    expect_equal((await bench.venue.movements_since(page.cursor)).movements, (), "after the last movement")
    expect_equal((await bench.venue.fills_since(fills)).fills, (), "fills since then")


async def the_account_is_what_trades_make_of_it(bench: Bench) -> None:
    """Balances change by price times quantity and the fee of every trade, to the last digit."""
    market = bench.world.market
    before_quote, before_base = await bench.quote_and_base()
    _, ended = await bench.fill()
    after_quote, after_base = await bench.quote_and_base()
    spent = sum((trade.price * trade.quantity for trade in ended.trades), Decimal(0))
    fees = {market.quote: Decimal(0), market.base: Decimal(0)}
    for trade in ended.trades:
        fees[trade.fee_currency] += trade.fee
    bought = sum((trade.quantity for trade in ended.trades), Decimal(0))
    expect_equal(before_quote - after_quote, spent + fees[market.quote], f"what it cost in {market.quote}")
    expect_equal(after_base - before_base, bought - fees[market.base], f"what came in {market.base}")


async def an_open_order_locks_what_it_may_cost(bench: Bench) -> None:
    """And its end gives it back: free and locked come to the same sum."""
    market = bench.world.market
    locked = {each.currency: each.locked for each in (await bench.venue.account()).balances}
    total, _ = await bench.quote_and_base()
    order = bench.resting()
    reference = bench.named(order, await bench.place(order))
    holding = {each.currency: each.locked for each in (await bench.venue.account()).balances}
    more = holding.get(market.quote, Decimal(0)) - locked.get(market.quote, Decimal(0))
    expect(more >= order.quantity * market.far_price, f"locked more: {more}")
    await bench.venue.cancel(reference)
    await bench.ended(reference)
    expect_equal((await bench.quote_and_base())[0], total, "free and locked together")


async def what_is_off_the_grid_is_rejected_and_never_rounded(bench: Bench) -> None:
    """Half a tick or half a step: an adapter that rounded would send an order that nobody approved."""
    market = bench.world.market
    for order in (
        replace(bench.resting(), limit_price=market.far_price + market.tick / 2),
        replace(bench.resting(), quantity=market.quantity + market.step / 2),
    ):
        said = await bench.venue.submit(order)
        expect_equal(said.status, ReportStatus.REJECTED, f"status of an order off the grid ({said.detail})")
        ids = {each.client_order_id for each in await bench.venue.open_orders()}
        expect(order.client_order_id not in ids, "nothing like it is open")


async def the_last_digit_arrives(bench: Bench) -> None:
    """One tick and one step more than a round number are sent, traded and read as they are."""
    market = bench.world.market
    quantity = market.quantity + market.step
    order = replace(bench.taking(), quantity=quantity, limit_price=market.crossing_price + market.tick)
    ended = await bench.ended(bench.named(order, await bench.venue.submit(order)))
    expect_equal((ended.status, ended.cumulative_quantity), (ReportStatus.FILLED, quantity), "what was filled")
    expect_equal(sum(trade.quantity for trade in ended.trades), quantity, "sum of the trades")
    resting = replace(bench.resting(), limit_price=market.far_price + market.tick)
    total = {each.currency: each.locked for each in (await bench.venue.account()).balances}
    await bench.place(resting)
    holding = {each.currency: each.locked for each in (await bench.venue.account()).balances}
    locked = holding[market.quote] - total.get(market.quote, Decimal(0))
    expect(locked >= resting.quantity * (market.far_price + market.tick), f"the tick is in what is locked: {locked}")


async def no_number_is_a_float_on_its_way(bench: Bench) -> None:
    """A number of money that was a float for a moment has lost its tail, whatever it is afterwards."""
    order = bench.resting()
    reference = bench.named(order, await bench.place(order))
    _, ended = await bench.fill()
    venue = bench.venue
    said = [
        ended,
        await venue.query(reference),
        await venue.open_orders(),
        await venue.recent_orders(ended.venue_ts_us or 0),
        await venue.fills_since(""),
        await venue.movements_since(""),
        await venue.account(),
        await venue.cancel(reference),
    ]
    expect_equal(_floats(said), [], "floats in the evidence")


def _floats(value: Any) -> list[float]:
    """Return every float anywhere in a piece of evidence."""
    if isinstance(value, float):
        return [value]
    if isinstance(value, BaseModel):
        return _floats(list(value.__dict__.values()))
    if is_dataclass(value):
        return _floats([getattr(value, each.name) for each in fields(value)])
    if isinstance(value, list | tuple):
        return [each for inner in value for each in _floats(inner)]
    return []
