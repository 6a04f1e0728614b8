"""Our own format of a recorded market: one JSON object a line, plain or gzipped. See ``docs/market-recordings.md``.

A recording is read one line at a time, however long it is. What cannot be read stops it, with file and line.
"""

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TextIO, cast

from tollgate_contracts.strategy import Side
from tollgate_simvenue.core.market import BookSnapshot, LevelsSet, MarketEvent, TopSet, TradePrinted
from tollgate_simvenue.core.units import parse_units, units_text

FORMAT = "tollgate-market"
VERSION = 1

Recorded = tuple[int, MarketEvent]
"""Microseconds of the recording's own clock, and what happened."""


class RecordingError(Exception):
    """A recording cannot be read; the text says where and why."""


def open_text(path: Path, mode: Literal["r", "w", "x"] = "r") -> TextIO:
    """Open a recording, gzipped or not by its name."""
    if path.suffix == ".gz":
        return cast("TextIO", gzip.open(path, f"{mode}t", encoding="utf-8"))
    return path.open(mode, encoding="utf-8")


def read(path: Path) -> Iterator[Recorded]:
    """Yield the events of a recording in our format; raises ``RecordingError``."""
    number = 0
    try:
        with open_text(path) as lines:
            for number, line in enumerate(lines, start=1):
                value = json.loads(line)
                if number == 1:
                    _check_header(value)
                else:
                    yield _parse(value)
    except RecordingError as error:
        raise RecordingError(f"{path}, line {number}: {error}") from error
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"{path}, line {number}: {type(error).__name__}: {error}") from error


def write(path: Path, events: Iterable[Recorded], *, symbol: str, source: str) -> int:
    """Write events in our format and return how many; a path that ends in ``.gz`` is gzipped."""
    count = 0
    with open_text(path, "w") as lines:
        header = {"format": FORMAT, "version": VERSION, "symbol": symbol, "source": source}
        lines.write(json.dumps(header) + "\n")
        for ts_us, event in events:
            lines.write(json.dumps({"ts_us": ts_us, **_format(event)}, separators=(",", ":")) + "\n")
            count += 1
    return count


def _check_header(value: Any) -> None:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise RecordingError(f'the first line must be {{"format": "{FORMAT}", "version": {VERSION}, ...}}')
    if value.get("version") != VERSION:
        raise RecordingError(f"version {value.get('version')} is not known, {VERSION} is expected")


def _parse(value: dict[str, Any]) -> Recorded:
    ts_us = value["ts_us"]
    if not isinstance(ts_us, int):
        raise RecordingError("ts_us is a whole number of microseconds")
    match value["type"]:
        case "top":
            return ts_us, _parse_top(value)
        case "levels":
            sides = ((Side.BUY, value["bids"]), (Side.SELL, value["asks"]))
            return ts_us, LevelsSet(tuple((side, *pair) for side, pairs in sides for pair in _pairs(pairs)))
        case "trade":
            price, quantity = _above_zero(value["price"]), _above_zero(value["quantity"])
            return ts_us, TradePrinted(Side(value["aggressor"]), price, quantity)
        case "snapshot":
            return ts_us, BookSnapshot(tuple(_pairs(value["bids"])), tuple(_pairs(value["asks"])))
        case other:
            raise RecordingError(f"type {other!r} is not known; snapshot, levels, top or trade is expected")


def _parse_top(value: dict[str, Any]) -> TopSet:
    top = TopSet(
        _above_zero(value["bid"]),
        _above_zero(value["bid_quantity"]),
        _above_zero(value["ask"]),
        _above_zero(value["ask_quantity"]),
    )
    if top.bid >= top.ask:
        raise RecordingError(f"bid {value['bid']} is not below ask {value['ask']}")
    return top


def _pairs(pairs: Any) -> list[tuple[int, int]]:
    found = [(_above_zero(price), parse_units(quantity)) for price, quantity in pairs]
    if any(quantity < 0 for _, quantity in found):
        raise RecordingError("a quantity is below zero")
    return found


def _above_zero(text: str) -> int:
    units = parse_units(text)
    if units <= 0:
        raise RecordingError(f"{text} is not above zero")
    return units


def _format(event: MarketEvent) -> dict[str, Any]:
    match event:
        case TopSet():
            names = ("bid", "bid_quantity", "ask", "ask_quantity")
            return {"type": "top", **{name: units_text(getattr(event, name)) for name in names}}
        case LevelsSet(levels):
            return {
                "type": "levels",
                "bids": [_pair(price, quantity) for side, price, quantity in levels if side is Side.BUY],
                "asks": [_pair(price, quantity) for side, price, quantity in levels if side is Side.SELL],
            }
        case TradePrinted(aggressor, price, quantity):
            return {
                "type": "trade",
                "aggressor": aggressor,
                "price": units_text(price),
                "quantity": units_text(quantity),
            }
        case BookSnapshot(bids, asks):
            return {
                "type": "snapshot",
                "bids": [_pair(*bid) for bid in bids],
                "asks": [_pair(*ask) for ask in asks],
            }
        case _:
            raise RecordingError(f"{type(event).__name__} is the generator's alone and is not recorded")


def _pair(price: int, quantity: int) -> list[str]:
    return [units_text(price), units_text(quantity)]
