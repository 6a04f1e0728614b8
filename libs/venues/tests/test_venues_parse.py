"""The simulated exchange's JSON: what is read, and which field is named when it is not."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tollgate_contracts.execution import Liquidity, ReportSource, ReportStatus, VenueTrade
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_venues.adapter import VenueOrder
from tollgate_venues.evidence import Evidence, FillEvidence, FillPage
from tollgate_venues.frames import BarFrame, HeartbeatFrame, InstrumentFrame, QuoteFrame, TradeFrame
from tollgate_venues.simulated import parse
from tollgate_venues.simulated.parse import UnreadableVenueData

D = Decimal
INSTRUMENT = {
    "symbol": "BTC-USDT",
    "base": "BTC",
    "quote": "USDT",
    "tick": "0.01",
    "step": "0.00001",
    "min_quantity": "0.00001",
    "min_notional": "5",
    "status": "OPEN",
    "valid_until_us": 9,
    "venue_ts_us": 8,
}
QUOTE = {
    "type": "quote",
    "symbol": "BTC-USDT",
    "bid": "100",
    "bid_quantity": "1",
    "ask": "100.5",
    "ask_quantity": "0",
    "venue_sequence": 7,
    "venue_ts_us": 8,
}
TRADE = {
    "type": "trade",
    "symbol": "BTC-USDT",
    "trade_id": "1-2",
    "price": "100",
    "quantity": "0.5",
    "aggressor": "SELL",
    "venue_ts_us": 8,
}
CANDLE = {
    "type": "candle",
    "symbol": "BTC-USDT",
    "open_us": 60,
    "interval_us": 60,
    "open": "1",
    "high": "3",
    "low": "0.5",
    "close": "2",
    "volume": "0",
    "trades": 0,
    "venue_ts_us": 8,
}
OWN_TRADE = {
    "fill_sequence": 4,
    "trade_id": "1-2",
    "client_order_id": "tg-1",
    "symbol": "BTC-USDT",
    "side": "BUY",
    "price": "100",
    "quantity": "0.5",
    "fee": "-0.01",
    "fee_currency": "USDT",
    "liquidity": "MAKER",
    "cumulative_quantity": "0.5",
    "venue_ts_us": 8,
}
ORDER = {
    "client_order_id": "tg-1",
    "venue_order_id": "1-1",
    "status": "FILLED",
    "reason": None,
    "cumulative_quantity": "0.5",
    "venue_ts_us": 9,
    "trades": [OWN_TRADE],
}
VENUE_TRADE = VenueTrade(
    trade_id="1-2",
    price=D(100),
    quantity=D("0.5"),
    fee=D("-0.01"),
    fee_currency="USDT",
    liquidity=Liquidity.MAKER,
    venue_ts_us=8,
)
BOOK = {**{name: QUOTE[name] for name in ("symbol", "venue_sequence", "venue_ts_us")}, "type": "book"}

FRAMES = [
    (QUOTE, (QuoteFrame("BTC-USDT", D(100), D(1), D("100.5"), D(0), 8, 7),)),
    ({**BOOK, "bids": [["100", "1"], ["99", "2"]], "asks": [["100.5", "0"]]},
     (QuoteFrame("BTC-USDT", D(100), D(1), D("100.5"), D(0), 8, 7),)),
    ({**BOOK, "bids": [], "asks": [["100.5", "1"]]}, ()),
    (TRADE, (TradeFrame("BTC-USDT", "1-2", D(100), D("0.5"), Side.SELL, 8),)),
    (CANDLE, (BarFrame("BTC-USDT", 60, 60, D(1), D(3), D("0.5"), D(2), D(0), 0, 8),)),
    ({"type": "heartbeat", "venue_ts_us": 8}, (HeartbeatFrame(8),)),
    ({"type": "instruments", "instruments": [INSTRUMENT]},
     (InstrumentFrame("BTC-USDT", "BTC", "USDT", D("0.01"), D("0.00001"), D("0.00001"), D(5), InstrumentStatus.OPEN,
                      9, 8),)),
    ({"type": "news", "text": "of a later version"}, ()),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "expected"), FRAMES)
def test_market_frames_become_values(frame: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert parse.market_frames(frame) == expected


BAD_FRAMES = [
    ({**QUOTE, "bid": 100}, "bid: a string"),
    ({**QUOTE, "bid": "1e2"}, "bid: a plain decimal"),
    ({**QUOTE, "bid": "NaN"}, "bid: a plain decimal"),
    ({**QUOTE, "bid": "100\n"}, "bid: a plain decimal"),
    ({**QUOTE, "bid": "0"}, "bid: 0 is not above zero"),
    ({**QUOTE, "bid": "100.5"}, "bid: 100.5 is not below"),
    ({**QUOTE, "bid_quantity": "-1"}, "bid_quantity: -1 is below zero"),
    ({**QUOTE, "venue_sequence": "7"}, "venue_sequence: a whole number"),
    ({**QUOTE, "venue_sequence": True}, "venue_sequence: a whole number"),
    ({**QUOTE, "venue_ts_us": 8.5}, "venue_ts_us: a whole number"),
    ({name: QUOTE[name] for name in QUOTE if name != "ask"}, "ask: missing"),
    ({**TRADE, "aggressor": "buy"}, "aggressor: 'buy' is not one of BUY, SELL"),
    ({**CANDLE, "low": None}, "low: a string"),
    ({"type": "instruments", "instruments": [{**INSTRUMENT, "status": "SHUT"}]}, "status"),
    ({"type": "instruments", "instruments": {}}, "instruments: an array"),
    ({**BOOK, "bids": [["100"]], "asks": [["101", "1"]]}, "bids and asks"),
    ({"type": 5}, "type: a string"),
    ({}, "type: missing"),
]


@pytest.mark.parametrize(("frame", "expected"), BAD_FRAMES)
def test_what_cannot_be_read_names_its_field(frame: dict[str, Any], expected: str) -> None:
    with pytest.raises(UnreadableVenueData, match=expected):
        parse.market_frames(frame)


@pytest.mark.parametrize("data", ["", "[", "{}", '"x"', "[1]", '[{"type":"x"}]', "[" * 100_000])
def test_a_message_that_is_no_array_of_numbered_frames_is_refused(data: str) -> None:
    with pytest.raises(UnreadableVenueData):
        parse.parse_frames(data)


def test_frames_keep_their_order_and_numbers() -> None:
    message = json.dumps([{"sequence": 4, "type": "a"}, {"sequence": 5, "type": "b"}])
    assert [sequence for sequence, _ in parse.parse_frames(message)] == [4, 5]


def test_an_order_with_its_trades_is_evidence() -> None:
    assert parse.order_evidence(ORDER, ReportSource.SUBMIT) == Evidence(
        client_order_id="tg-1",
        source=ReportSource.SUBMIT,
        status=ReportStatus.FILLED,
        venue_order_id="1-1",
        cumulative_quantity=D("0.5"),
        trades=(VENUE_TRADE,),
        venue_ts_us=9,
    )


REASONS = [
    ("REJECTED", "POST_ONLY_WOULD_TAKE", Reason.PRICE_CROSSED_POST_ONLY),
    ("REJECTED", "INSUFFICIENT_BALANCE", Reason.CASH_INSUFFICIENT),
    ("REJECTED", "SOMETHING_NEW", Reason.VENUE_REJECTED),
    ("REJECTED", "INSTRUMENT_NOT_OPEN", Reason.VENUE_NOT_OPEN),
    ("CANCELLED", "IOC_REST", None),
    ("CANCELLED", "POST_ONLY_WOULD_TAKE", Reason.PRICE_CROSSED_POST_ONLY),
    ("EXPIRED", "GOOD_UNTIL", None),
    ("OPEN", None, None),
]


@pytest.mark.parametrize(("status", "venue_reason", "reason"), REASONS)
def test_a_rejection_has_a_reason_of_ours_and_the_venues_own_word(
    status: str, venue_reason: str | None, reason: Reason | None
) -> None:
    body = {**ORDER, "status": status, "reason": venue_reason, "trades": []}
    evidence = parse.order_evidence(body, ReportSource.QUERY)
    assert (evidence.status, evidence.reason, evidence.detail) == (status, reason, venue_reason or "")


def test_user_frames_are_evidence_too() -> None:
    order_frame = {name: ORDER[name] for name in ORDER if name != "trades"}
    said = parse.user_evidence({**order_frame, "type": "order"})
    assert said is not None
    assert (said.source, said.trades) == (ReportSource.STREAM, ())
    traded = parse.user_evidence({**OWN_TRADE, "type": "trade", "venue_order_id": "1-1", "status": "FILLED"})
    assert traded is not None
    assert (traded.status, traded.trades, traded.cumulative_quantity) == (ReportStatus.FILLED, (VENUE_TRADE,), D("0.5"))
    assert parse.user_evidence({"type": "heartbeat"}) is None


BAD_ORDERS = [
    ({**ORDER, "status": "DONE"}, "status: 'DONE'"),
    ({**ORDER, "trades": [{**OWN_TRADE, "fee": 0.01}]}, "fee: a string"),
    ({**ORDER, "trades": [{**OWN_TRADE, "trade_id": "not an id!"}]}, "trade_id"),
    ({**ORDER, "trades": None}, "trades: an array"),
    ({**ORDER, "cumulative_quantity": None}, "cumulative_quantity: a string"),
]


@pytest.mark.parametrize(("body", "expected"), BAD_ORDERS)
def test_an_order_that_cannot_be_read_names_its_field(body: dict[str, Any], expected: str) -> None:
    with pytest.raises(UnreadableVenueData, match=expected):
        parse.order_evidence(body, ReportSource.SUBMIT)


def test_account_and_fills_are_read() -> None:
    body = {
        "balances": [{"currency": "USDT", "free": "99.5", "locked": "0"}],
        "maker_fee_bps": "-1.5",
        "taker_fee_bps": "20",
        "venue_ts_us": 8,
    }
    account = parse.account(body)
    assert (account.balances[0].free, account.maker_fee_bps) == (D("99.5"), D("-1.5"))
    with pytest.raises(UnreadableVenueData, match="free"):
        parse.account({**body, "balances": [{"currency": "USDT", "free": "-1", "locked": "0"}]})
    page = parse.fill_page({"fills": [OWN_TRADE]}, "3")
    assert (page.cursor, page.is_last) == ("4", True)
    assert [(fill.trade, fill.side) for fill in page.fills] == [(VENUE_TRADE, Side.BUY)]


def test_a_refusal_is_only_the_venues_own() -> None:
    assert parse.refusal(b'{"code":"X","message":"y","field":null}') == ("X", "y")
    with pytest.raises(UnreadableVenueData):
        parse.refusal(b"<html>502 Bad Gateway</html>")


def test_a_bust_is_a_row_and_a_frame_of_its_own() -> None:
    row = {
        "fill_sequence": 9,
        "busts": "1-3",
        "client_order_id": "tg-1",
        "venue_order_id": "1-1",
        "symbol": "BTC-USDT",
        "side": "BUY",
        "venue_ts_us": 9,
    }
    page = parse.fill_page({"fills": [row]}, "4")
    assert page == FillPage((FillEvidence("tg-1", "BTC-USDT", Side.BUY, None, "1-3", "1-1"),), "9", True)
    frame = {"type": "bust", "trade_id": "1-3", "client_order_id": "tg-1", "symbol": "BTC-USDT", "venue_ts_us": 9}
    assert parse.user_evidence(frame) == Evidence(
        "tg-1", ReportSource.STREAM, ReportStatus.TRADED, busted=("1-3",), venue_ts_us=9
    )


def test_a_page_that_is_full_is_not_the_last() -> None:
    rows = [{**OWN_TRADE, "fill_sequence": number} for number in range(1, parse.PAGE_ROWS + 1)]
    page = parse.fill_page({"fills": rows}, "")
    assert (page.cursor, page.is_last) == (str(parse.PAGE_ROWS), False)
    assert parse.fill_page({"fills": rows[:-1]}, "").is_last
    assert parse.fill_page({"fills": []}, "7") == FillPage((), "7", True)


def test_recent_orders_are_complete_only_when_the_venue_says_so() -> None:
    assert parse.order_page({"orders": [ORDER], "complete": True}).is_complete
    for complete in (False, "true", 1):
        assert not parse.order_page({"orders": [ORDER], "complete": complete}).is_complete
    with pytest.raises(UnreadableVenueData, match="complete"):
        parse.order_page({"orders": [ORDER]})


MOVEMENT = {
    "movement_sequence": 3,
    "movement_id": "m-3",
    "type": "FUNDING",
    "currency": "USDT",
    "amount": "-12345678901234567890.123456789012345678",
    "symbol": "BTC-USDT",
    "venue_ts_us": 9,
}


def test_a_movement_is_read_to_its_last_digit() -> None:
    page = parse.movement_page({"movements": [MOVEMENT, {**MOVEMENT, "movement_sequence": 4, "symbol": None}]}, "2")
    assert (page.cursor, page.is_last, [each.symbol for each in page.movements]) == ("4", True, ["BTC-USDT", None])
    assert page.movements[0].amount == D("-12345678901234567890.123456789012345678")
    for wrong in ({"amount": 1.5}, {"amount": "1e3"}, {"type": "GIFT"}):
        with pytest.raises(UnreadableVenueData):
            parse.movement_page({"movements": [{**MOVEMENT, **wrong}]}, "2")


ASKED = VenueOrder(
    client_order_id="tg-1",
    symbol="BTC-USDT",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    quantity=D("0.50"),
    limit_price=D("60000"),
    time_in_force=TimeInForce.GTC,
    post_only=False,
    reduce_only=False,
)
PLACED = {"symbol": "BTC-USDT", "side": "BUY", "quantity": "0.5", "limit_price": "60000"}
OTHERS = [
    {"symbol": "ETH-USDT"},
    {"side": "SELL"},
    {"quantity": "0.51"},
    {"limit_price": "60000.01"},
    {"limit_price": None},
]


def test_an_answer_is_about_our_order_by_all_that_money_follows_from() -> None:
    assert parse.is_order(PLACED, ASKED)
    assert [parse.is_order({**PLACED, **other}, ASKED) for other in OTHERS] == [False] * len(OTHERS)
    assert parse.is_order({**PLACED, "limit_price": None}, replace(ASKED, limit_price=None))
