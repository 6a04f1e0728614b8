"""From a venue's frame to the line that is recorded of it: the same facts, with our time of hearing them."""

from dataclasses import fields
from typing import Any

from tollgate_contracts.market import BarLine, Frame, HeartbeatFrame, InstrumentLine, QuoteLine, TradeLine
from tollgate_contracts.marketdata import SymbolQuote
from tollgate_venues import frames


def line_of(frame: frames.MarketFrame, ts_us: int) -> Frame:
    """Return the line; raises pydantic's ``ValidationError`` when the venue said something impossible."""
    facts = {field.name: getattr(frame, field.name) for field in fields(frame)}
    match frame:
        case frames.QuoteFrame():
            return QuoteLine(ts_us=ts_us, quote=SymbolQuote(**facts))
        case frames.TradeFrame():
            return TradeLine(ts_us=ts_us, **facts)
        case frames.BarFrame():
            return BarLine(ts_us=ts_us, **_without_venue_time(facts))
        case frames.InstrumentFrame():
            return InstrumentLine(ts_us=ts_us, **_without_venue_time(facts))
        case frames.HeartbeatFrame():
            return HeartbeatFrame(ts_us=ts_us)


def _without_venue_time(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != "venue_ts_us"}
