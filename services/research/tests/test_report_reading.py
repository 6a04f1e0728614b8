"""The report of a desk whose every trade is known, read from a real database, beside the same sums made by hand."""

import asyncio
from bisect import bisect_right
from decimal import Decimal
from itertools import pairwise
from random import Random
from statistics import fmean, stdev
from types import SimpleNamespace
from typing import Any

import asyncpg
import empyrical
import numpy as np
import pytest
from synthetic_books import COST_MODEL, DAY_US, POLICIES, START_US, SyntheticBooks

from tests.servers.postgres import Database
from tollgate_contracts.codec import decode
from tollgate_contracts.config import Config
from tollgate_domain.attribution import By, grouped
from tollgate_research.books import NoBooks, opened
from tollgate_research.report import reading, statistics
from tollgate_research.report.figures import result_figures
from tollgate_research.report.page import page
from tollgate_research.report.reading import NothingBooked, read_report
from tollgate_research.report.span import Span
from tollgate_research.report.terminal import text_page
from tollgate_research.report.values import Attribution, ConfigInForce, Report
from tollgate_research.report.wording import wording_of

ALL = Span()
PARTS = ("edge", "slippage", "fees", "funding", "net")


async def report_of(database: Database, span: Span = ALL) -> Report:
    async with opened(database.dsn("tollgate_reader")) as connection:
        return await read_report(connection, span)


async def stored(superuser: asyncpg.Connection, books: SyntheticBooks) -> SyntheticBooks:
    await books.store(superuser)
    return books


def summed(rows: list[dict[str, Any]]) -> Attribution:
    return Attribution(*(sum((row[name] for row in rows), Decimal(0)) for name in PARTS))


def a_history() -> SyntheticBooks:
    """Return some forty days with a deposit, a charge and dust on the way, and a position that is still open."""
    books = SyntheticBooks().run(120).transfer(2_500).run(40).move(charge="1.25", dust="-0.03").run(60)
    return books.transfer(-700).run(30).trip(is_left_open=True)


async def test_the_result_is_what_equity_has_changed_by_without_transfers_and_its_parts_sum_to_it(database, superuser):
    books = await stored(superuser, a_history())
    report = await report_of(database)
    change, parts = report.change, report.change.parts
    assert (change.first.equity, change.last.equity) == (10_000, books.equity[-1]["equity"])
    assert change.transfers == 1_800
    assert parts.net == books.equity[-1]["equity"] - 10_000 - 1_800
    assert parts.slippage == books.slippage == sum(row["slippage"] for row in books.trade_costs)
    assert parts.fees == books.fees + Decimal("1.25")
    assert (parts.funding, parts.other) == (books.funding, Decimal("-0.03"))
    assert parts.net == parts.edge - parts.slippage - parts.fees + parts.funding + parts.other
    # What no ended trip explains: the open position's fee and paper result, the charge and the dust.
    of_open = books.held * books.mark - books.cost - books.trade_costs[-1]["fee"]
    assert report.open_net == of_open - Decimal("1.28")


async def test_two_spans_that_meet_are_together_the_span_over_both(database, superuser):
    books = await stored(superuser, a_history())
    chance = Random(3)  # noqa: S311 - the same cuts in every run
    whole = await report_of(database)
    for _ in range(6):
        cut_us = chance.randrange(START_US + DAY_US, books.now_us)
        before, after = await report_of(database, Span(0, cut_us)), await report_of(database, Span(cut_us))
        for name in (*PARTS, "other"):
            parts = [getattr(each.change.parts, name) for each in (before, after, whole)]
            assert parts[0] + parts[1] == parts[2], name
            trips = [getattr(each.trips.parts, name) for each in (before, after, whole)]
            assert trips[0] + trips[1] == trips[2], name
        assert before.change.last == after.change.first
        assert before.trips.count + after.trips.count == whole.trips.count
        assert before.trading.fills + after.trading.fills == whole.trading.fills
        assert before.trading.turnover + after.trading.turnover == whole.trading.turnover


async def test_a_span_of_whole_days_has_the_result_of_these_days(database, superuser):
    books = await stored(superuser, a_history())
    report = await report_of(database, Span(START_US + 3 * DAY_US, START_US + 20 * DAY_US))
    days = books.days[3:20]
    assert [day.day for day in report.daily.days] == [row["day"] for row in days]
    for name in (*PARTS, "other"):
        assert getattr(report.change.parts, name) == sum(row[name] for row in days), name
    assert report.change.transfers == sum(row["transfers"] for row in days)


async def test_statistics_of_trips_are_those_made_by_hand(database, superuser):
    books = await stored(superuser, a_history())
    trips = (await report_of(database)).trips
    nets = [float(row["net"]) for row in books.trips]
    multiples = [float(row["net"]) / float(row["risked"]) for row in books.trips if row["risked"]]
    won, lost = [net for net in nets if net > 0], [net for net in nets if net < 0]
    assert (trips.count, trips.won, trips.lost) == (250, len(won), len(lost))
    assert trips.win_rate == statistics.share(len(won), 250)
    assert trips.average_r.count == len(multiples) < 250
    assert trips.average_r.value == pytest.approx(fmean(multiples))
    by_hand = statistics.mean(statistics.Moments(250, fmean(nets), stdev(nets))).interval
    found = trips.average_net.interval
    assert by_hand is not None
    assert found is not None
    assert (found.low, found.high) == pytest.approx((by_hand.low, by_hand.high))
    assert trips.profit_factor.value == pytest.approx(sum(won) / -sum(lost))
    assert trips.profit_factor.interval is not None
    assert trips.profit_factor.interval.method == "bootstrap"
    assert trips.parts == summed(books.trips)
    assert (trips.best, trips.worst) == (max(r["net"] for r in books.trips), min(r["net"] for r in books.trips))
    assert trips.gained - trips.given_back == trips.parts.net


async def test_above_a_thousand_trips_nothing_is_resampled(database, superuser, monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLED_MAX", 100)
    await stored(superuser, a_history())
    interval = (await report_of(database)).trips.profit_factor.interval
    assert interval is not None
    assert interval.method == "delta method"


async def test_hold_times_are_counted_in_bins_and_by_share(database, superuser):
    books = await stored(superuser, a_history())
    times = (await report_of(database)).trips.hold_times
    held = sorted(row["closed_us"] - row["opened_us"] for row in books.trips)
    expected = [0] * (len(times.bounds_us) + 1)
    for hold in held:
        expected[bisect_right(times.bounds_us, hold)] += 1
    assert list(times.counts) == expected
    quantiles = dict(times.quantiles_us)
    assert (quantiles[50], quantiles[100]) == (held[124], held[-1])


async def test_groups_of_every_kind_sum_to_all_trips(database, superuser):
    books = a_history()
    for number, row in enumerate(books.trips[:4]):
        row["signal"] = None if number % 2 else ""
    await stored(superuser, books)
    report = await report_of(database)
    rows = [SimpleNamespace(**row) for row in books.trips]
    for by in (By.SYMBOL, By.SIGNAL, By.REGIME, By.TIER, By.HOUR):
        groups = {group.name: group for group in report.groups if group.by == by}
        expected = {key or "none": parts for key, parts in grouped(rows, by).items()}
        assert groups.keys() == expected.keys()
        for name, parts in expected.items():
            found = groups[name].parts
            assert (found.edge, found.slippage, found.fees) == (parts.edge, parts.slippage, parts.fees)
            assert (found.funding, found.net, groups[name].count) == (parts.funding, parts.net, parts.trips)
        assert sum(group.parts.net for group in groups.values()) == report.trips.parts.net


async def test_returns_of_days_give_the_ratios_of_another_library(database, superuser):
    books = await stored(superuser, a_history())
    daily = (await report_of(database)).daily
    returns = [float(row["equity_last"]) / float(row["equity_first"] + row["transfers"]) - 1 for row in books.days]
    assert daily.sharpe.value == pytest.approx(empyrical.sharpe_ratio(np.array(returns), annualization=365))
    assert daily.sortino.value == pytest.approx(empyrical.sortino_ratio(np.array(returns), annualization=365))
    assert daily.sharpe.count == len(books.days)
    assert (daily.best, daily.worst) == pytest.approx((max(returns), min(returns)))


async def test_a_fall_is_from_the_highest_before_and_a_withdrawal_is_none(database, superuser):
    books = await stored(superuser, a_history())
    exposure = (await report_of(database)).exposure
    highest, falls, shares = Decimal("-Infinity"), [], []
    for row in books.equity:
        made = row["equity"] - row["transfers"]
        highest = max(highest, made)
        falls.append(highest - made)
        shares.append(float(highest - made) / float(row["equity"] + highest - made))
    assert exposure.drawdown == max(falls)
    assert exposure.drawdown_share == pytest.approx(shares[falls.index(max(falls))])
    assert exposure.drawdown_share_highest == pytest.approx(max(shares))
    assert max(point.drawdown for point in exposure.curve) == exposure.drawdown


async def test_the_deepest_fall_without_transfers_is_that_of_another_library(database, superuser):
    books = await stored(superuser, SyntheticBooks(seed=5).run(200))
    equity = np.array([float(row["equity"]) for row in books.equity])
    found = (await report_of(database)).exposure.drawdown_share_highest
    assert found == pytest.approx(-empyrical.max_drawdown(np.diff(equity) / equity[:-1]))


async def test_exposure_is_weighed_by_time(database, superuser):
    books = await stored(superuser, a_history())
    exposure = (await report_of(database)).exposure
    rows = books.equity
    weights = [*(after["ts_us"] - row["ts_us"] for row, after in pairwise(rows)), 0]
    at_stake = sum(float(row["exposure"]) * us for row, us in zip(rows, weights, strict=True))
    equity = sum(float(row["equity"]) * us for row, us in zip(rows, weights, strict=True))
    assert exposure.mean == pytest.approx(at_stake / equity)
    assert exposure.in_market == pytest.approx(
        sum(us for row, us in zip(rows, weights, strict=True) if row["exposure"]) / sum(weights)
    )
    assert exposure.highest == pytest.approx(max(float(row["exposure"]) / float(row["equity"]) for row in rows))


async def test_turnover_and_what_it_cost(database, superuser):
    books = await stored(superuser, a_history())
    report = await report_of(database)
    fills, trading = books.trade_costs, report.trading
    turnover = sum(row["price"] * row["quantity"] for row in fills)
    made = sum(row["price"] * row["quantity"] for row in fills if row["maker"])
    assert (trading.fills, trading.turnover) == (len(fills), turnover)
    assert trading.maker_share == pytest.approx(float(made) / float(turnover))
    assert trading.fees_bps == pytest.approx(float(report.change.parts.fees) / float(turnover) * 10_000, rel=0.01)


async def test_the_curve_has_no_more_points_than_a_screen_shows_and_ends_at_the_end(database, superuser):
    books = await stored(superuser, SyntheticBooks().run(400))
    curve = (await report_of(database)).exposure.curve
    assert len(books.equity) > reading.CURVE_PARTS >= len(curve)
    assert [point.ts_us for point in curve] == sorted(point.ts_us for point in curve)
    assert curve[-1].equity == books.equity[-1]["equity"]


async def test_a_correction_and_a_trip_found_open_are_in_the_sums_and_no_trips(database, superuser):
    books = SyntheticBooks().run(20).trip(trigger="bust").trip(found_open=True)
    await stored(superuser, books)
    trips = (await report_of(database)).trips
    assert (trips.count, trips.corrections, trips.found_open) == (20, 1, 1)
    assert trips.parts == summed(books.trips)
    assert sum(trips.hold_times.counts) == 20


async def test_cost_models_and_policies_in_force_are_named(database, superuser):
    books = await stored(superuser, a_history())
    provenance = (await report_of(database)).provenance
    assert (provenance.desk, provenance.quote_currency) == ("main", "USDT")
    assert provenance.archived_sequence == books.sequence
    assert provenance.cost_models == (ConfigInForce(COST_MODEL, START_US + 1, books.now_us + 1, 1),)
    assert [policy.hash for policy in provenance.policies] == list(POLICIES)
    assert sum(policy.count for policy in provenance.policies) == len(books.trade_costs)


async def test_a_cost_model_is_in_force_until_the_next_configuration(database, superuser):
    books = a_history()
    later_us = START_US + 5 * DAY_US
    for sequence, name, ts_us in ((20, "d" * 64, later_us), (30, COST_MODEL, later_us + DAY_US)):
        books.configure(sequence, name, ts_us, dust=sequence)
    await stored(superuser, books)
    report = await report_of(database)
    assert report.provenance.cost_models == (
        ConfigInForce(COST_MODEL, START_US + 1, report.span.until_us, 2),
        ConfigInForce("d" * 64, later_us, later_us + DAY_US, 1),
    )


async def test_the_configuration_before_a_span_is_in_force_in_it(database, superuser):
    books = await stored(superuser, a_history())
    report = await report_of(database, Span(START_US + 10 * DAY_US, books.now_us))
    assert [model.hash for model in report.provenance.cost_models] == [COST_MODEL]
    assert report.provenance.cost_models[0].first_us == report.span.from_us


async def test_a_configuration_that_the_ledger_refused_names_neither_currency_nor_cost_model(database, superuser):
    """The archive holds it as it came; in force stays the one before, under which the books were said meanwhile."""
    books = a_history()
    books.configure(20, None, START_US + DAY_US, currency="EUR")
    books.say_nonsense(22)
    await stored(superuser, books)
    provenance = (await report_of(database)).provenance
    assert provenance.quote_currency == "USDT"
    assert provenance.cost_models == (ConfigInForce(COST_MODEL, START_US + 1, books.now_us + 1, 1),)


async def test_what_nobody_can_read_is_no_first_configuration(database, superuser):
    books = a_history()
    for row in books.archive():
        row["tape_sequence"] += 1
    books.say_nonsense(1)
    await stored(superuser, books)
    assert (await report_of(database)).provenance.quote_currency == "USDT"


async def test_books_are_of_the_configuration_that_they_name(database, superuser):
    """One says no books at all, and after the next one comes what was still to be said under the first."""
    books = a_history()
    first = config_hash_of(books)
    books.configure(20, None, START_US + DAY_US, dust=1)
    third = books.configure(30, None, START_US + 2 * DAY_US, dust=2)
    books.say_books(31, COST_MODEL, START_US + 2 * DAY_US, first)
    books.say_books(32, "d" * 64, START_US + 3 * DAY_US, third)
    await stored(superuser, books)
    report = await report_of(database)
    assert report.provenance.cost_models == (
        ConfigInForce(COST_MODEL, START_US + 1, START_US + 3 * DAY_US, 1),
        ConfigInForce("d" * 64, START_US + 3 * DAY_US, report.span.until_us, 1),
    )


def config_hash_of(books: SyntheticBooks) -> str:
    config = decode(books.archive()[0]["body"])
    assert isinstance(config, Config)
    return config.hash


async def test_a_clock_that_steps_back_leaves_no_part_of_the_tape_out(database, superuser):
    """The order is the tape's: what is booked after a step back is after what was booked before it."""
    books = a_history()
    step = len(books.equity) // 2
    for row in books.equity[step:]:
        row["ts_us"] -= 5 * DAY_US
    await stored(superuser, books)
    whole = await report_of(database)
    assert (whole.change.first.tape_sequence, whole.change.last.equity) == (10, books.equity[-1]["equity"])
    assert whole.trips.parts == summed(books.trips)
    cut_us = books.equity[step]["ts_us"] + DAY_US
    before, after = await report_of(database, Span(0, cut_us)), await report_of(database, Span(cut_us))
    assert before.change.last == after.change.first
    for name in (*PARTS, "other"):
        parts = [getattr(each.change.parts, name) for each in (before, after, whole)]
        assert parts[0] + parts[1] == parts[2], name
    for report in (whole, before, after):
        times = [point.ts_us for point in report.exposure.curve]
        assert times == sorted(times)
        assert page(report)
        assert text_page(report)


async def test_where_the_newest_state_bears_an_older_time_there_is_still_a_curve(database, superuser):
    books = SyntheticBooks().trip()
    for row in books.equity[1:]:
        row["ts_us"] = START_US - DAY_US
    await stored(superuser, books)
    report = await report_of(database)
    assert report.change.last.equity == books.equity[-1]["equity"]
    assert report.exposure.curve[-1].equity == books.equity[-1]["equity"]
    assert page(report)


async def test_time_before_the_span_is_not_counted(database, superuser):
    """A position of nine days, of which the span has the last: in the market all the time, and drawn from its start."""
    books = SyntheticBooks().trip(is_left_open=True)
    books.now_us += 9 * DAY_US
    books.sequence += 1
    books.held = books.cost = Decimal(0)
    books._point()
    books.now_us += DAY_US
    books.sequence += 1
    books._point()
    await stored(superuser, books)
    span = Span(books.now_us - 2 * DAY_US, books.now_us + 1)
    exposure = (await report_of(database, span)).exposure
    assert exposure.in_market == pytest.approx(0.5)
    assert exposure.curve[0].ts_us == span.from_us


async def test_the_day_of_the_opening_is_no_whole_day(database, superuser):
    """Of its first day the desk has seen ten hours, whose return is not that of a day."""
    books = await stored(superuser, SyntheticBooks(now_us=START_US + 14 * 3_600_000_000).run(60))
    daily = (await report_of(database)).daily
    assert [day.day for day in daily.days] == [row["day"] for row in books.days[1:]]
    assert daily.sharpe.count == len(books.days) - 1


async def test_the_share_of_the_deepest_fall_is_its_own(database, superuser):
    """A small desk fell by much of what it had; grown by a deposit it fell deeper, by a small share."""
    books = SyntheticBooks()
    for amount in (0, -1_000, 1_000, 90_000, -2_000):
        books.sequence, books.now_us = books.sequence + 1, books.now_us + DAY_US
        books.cash += amount
        books.transfers += amount if amount == 90_000 else 0
        books._point()
    await stored(superuser, books)
    report = await report_of(database)
    exposure = report.exposure
    assert exposure.drawdown == 2_000
    assert (exposure.drawdown_share, exposure.drawdown_share_highest) == (pytest.approx(0.02), pytest.approx(0.1))
    for shown in (page(report), "".join(figure.note for figure in result_figures(report, wording_of(report)))):
        assert "2.00 % of the peak, another was 10.00 %" in shown


async def test_books_without_a_configuration_name_no_cost_model(database, superuser):
    await stored(superuser, SyntheticBooks().run(2))
    await superuser.execute("DELETE FROM ledger.archive")
    provenance = (await report_of(database)).provenance
    assert (provenance.cost_models, provenance.quote_currency) == ((), "quote")


async def test_a_desk_that_has_not_traded_has_a_report(database, superuser):
    await stored(superuser, SyntheticBooks())
    report = await report_of(database)
    assert report.change.parts == Attribution(*[Decimal(0)] * 5)
    assert (report.trips.count, report.groups, report.daily.days) == (0, (), ())
    assert report.trading.maker_share is None
    assert report.exposure.drawdown == 0


async def test_a_span_of_which_the_books_say_nothing_has_none(database, superuser):
    with pytest.raises(NothingBooked):
        await report_of(database)
    await stored(superuser, a_history())
    with pytest.raises(NothingBooked):
        await report_of(database, Span(0, START_US))


async def test_a_report_reads_one_state_of_the_books_and_can_change_none(database, superuser):
    await stored(superuser, SyntheticBooks().run(3))
    async with opened(database.dsn("tollgate_reader")) as connection:
        before = await read_report(connection, ALL)
        await superuser.execute("DELETE FROM ledger.trips")
        assert await read_report(connection, ALL) == before
    with pytest.raises(NoBooks, match="read-only transaction"):
        async with opened(database.dsn("tollgate_reader")) as connection:
            await connection.execute("DELETE FROM ledger.trips")


async def test_other_books_and_no_database_are_refused(database, superuser, tmp_path):
    with pytest.raises(NoBooks, match="the books cannot be read"):
        async with opened(f"postgresql://tollgate_reader@/x?host={tmp_path}"):
            pass
    with pytest.raises(NoBooks, match="the books cannot be read"):
        async with opened("no address"):
            pass
    await superuser.execute("UPDATE ledger.schema_version SET version = 9")
    with pytest.raises(NoBooks, match="schema version 9, this program reads 3"):
        await report_of(database)
    await superuser.execute("DROP SCHEMA ledger CASCADE")
    with pytest.raises(NoBooks, match="no books in this database"):
        await report_of(database)


async def test_a_report_is_read_while_the_ledger_writes(database, superuser):
    """Each of some reports agrees with itself, whatever is committed meanwhile."""
    books = SyntheticBooks().run(5)
    await stored(superuser, books)

    async def write() -> None:
        for _ in range(20):
            at = {name: len(getattr(books, name)) for name in ("trips", "trade_costs", "equity", "days")}
            books.trip()
            async with superuser.transaction():
                await superuser.execute("SET LOCAL session_replication_role = replica")
                for name, start in at.items():
                    rows = getattr(books, name)[start:]
                    if rows:
                        records = [tuple(row.values()) for row in rows]
                        await superuser.copy_records_to_table(
                            name, schema_name="ledger", columns=list(rows[0]), records=records
                        )

    writing = asyncio.create_task(write())
    while not writing.done():
        report = await report_of(database)
        assert report.open_net == 0
        await asyncio.sleep(0)
    await writing
