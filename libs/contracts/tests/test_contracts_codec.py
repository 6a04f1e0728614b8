"""Bytes to messages: exact, canonical, and refused with a reason that helps."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tollgate_contracts.codec import MESSAGE_BYTES_MAX, Unreadable, UnreadableMessage, decode, encode
from tollgate_contracts.marketdata import Quote, SymbolQuote
from tollgate_contracts.strategy import Intent


def quote(bid: str = "99.5", ask: str = "100") -> Quote:
    line = SymbolQuote(
        symbol="BTC-USDT",
        bid=Decimal(bid),
        bid_quantity=Decimal(3),
        ask=Decimal(ask),
        ask_quantity=Decimal("1E+1"),
        venue_ts_us=1,
        venue_sequence=7,
    )
    return Quote(
        id="marketdata:simulated:0.1", desk="main", run_id="r1", ts_us=5, cause=None, cycle_id=1, quotes=(line,)
    )


def changed(**fields: object) -> bytes:
    content = json.loads(encode(quote()))
    content.update(fields)
    return json.dumps(content).encode()


def changed_line(**fields: object) -> bytes:
    content = json.loads(encode(quote()))
    content["quotes"][0].update(fields)
    return json.dumps(content).encode()


def test_encoding_is_canonical_and_survives_the_way_there_and_back():
    data = encode(quote())
    assert b'"ask_quantity":"10"' in data
    assert encode(decode(data)) == data


@pytest.mark.parametrize(
    ("data", "reason", "names"),
    [
        (b"x" * (MESSAGE_BYTES_MAX + 1), Unreadable.TOO_LARGE, f"at most {MESSAGE_BYTES_MAX}"),
        (encode(quote())[:50], Unreadable.NOT_JSON, "EOF while parsing"),
        (b"", Unreadable.NOT_JSON, "EOF"),
        (b"[1]", Unreadable.INVALID, "message"),
        (b"{}", Unreadable.UNKNOWN_KIND, "kind"),
        (changed(kind="rumour"), Unreadable.UNKNOWN_KIND, "'rumour'"),
        (changed(version=2), Unreadable.UNKNOWN_VERSION, "version"),
        (changed(writer="risk"), Unreadable.INVALID, "writer"),
        (changed(ts_us=1.5), Unreadable.INVALID, "ts_us"),
        (changed(ts_us=-1), Unreadable.INVALID, "ts_us"),
        (changed(ts_us=7_258_118_400_000_000), Unreadable.INVALID, "ts_us"),
        (changed(extra=1), Unreadable.INVALID, "extra"),
        (changed(cause=0), Unreadable.INVALID, "cause"),
        (changed(quotes=[]), Unreadable.INVALID, "quotes"),
        (changed_line(bid=99.5), Unreadable.INVALID, "quotes.0.bid"),
        (changed_line(bid="NaN"), Unreadable.INVALID, "quotes.0.bid"),
        (changed_line(bid="Infinity"), Unreadable.INVALID, "quotes.0.bid"),
        (changed_line(bid="1E+2"), Unreadable.INVALID, "quotes.0.bid"),
        (changed_line(bid="-1"), Unreadable.INVALID, "quotes.0.bid"),
        (changed_line(bid="0"), Unreadable.INVALID, "quotes.0.bid"),
        (changed_line(bid="0.1234567890123456789"), Unreadable.INVALID, "quotes.0.bid"),
        (changed_line(bid="100"), Unreadable.INVALID, "must be below ask"),
        (changed_line(symbol="btc-usdt"), Unreadable.INVALID, "quotes.0.symbol"),
        (changed_line(symbol="BTCUSDT"), Unreadable.INVALID, "quotes.0.symbol"),
    ],
)
def test_what_is_not_exactly_a_message_is_refused_with_reason_and_place(data: bytes, reason: Unreadable, names: str):
    with pytest.raises(UnreadableMessage) as refused:
        decode(data)
    assert refused.value.reason is reason
    assert names in refused.value.detail


def test_a_float_is_refused_also_from_our_own_code():
    with pytest.raises(ValidationError, match="bid"):
        SymbolQuote(**{**quote().quotes[0].model_dump(), "bid": 99.5})


@pytest.mark.parametrize("bid", [Decimal("0.1234567890123456789"), Decimal("1E+21"), Decimal("NaN"), "1E+2", 99])
def test_our_own_code_cannot_write_what_no_reader_would_take(bid: object):
    with pytest.raises(ValidationError, match="an exact decimal is expected"):
        SymbolQuote(**{**quote().quotes[0].model_dump(), "bid": bid})


def test_messages_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        quote().ts_us = 6  # type: ignore[misc]


@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_a_message_or_a_reason(data: bytes):
    with pytest.raises(UnreadableMessage):
        decode(data)


def test_an_output_is_named_after_its_cause_and_takes_its_time():
    cause = quote()
    fields = Intent.model_fields
    assert fields["writer"].default == "strategy"
    output = Quote.caused_by(cause, 17, 2, quotes=cause.quotes)
    assert (output.id, output.cause, output.ts_us, output.cycle_id) == ("marketdata:17:2", 17, 5, 1)
