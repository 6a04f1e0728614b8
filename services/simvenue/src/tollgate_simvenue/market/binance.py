"""Readers of recorded Binance markets: raw stream captures, normalised order books, and one-minute bars."""

import json
from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from pyarrow import parquet  # type: ignore[import-untyped]  # pyarrow has no types

from tollgate_contracts.strategy import Side
from tollgate_simvenue.core.market import MarketEvent, TopSet, TradePrinted
from tollgate_simvenue.core.units import UNITS, parse_units
from tollgate_simvenue.market.depth import DepthMerger, Level
from tollgate_simvenue.market.recording import Recorded, RecordingError, open_text

# Rows decoded at a time: little memory, and little time in which nothing else is served.
_BATCH_ROWS = 1_024
# A bar becomes this many quotes and trades: four on each way between open, its two extremes, and close.
BAR_LEG_STEPS = 4
BAR_STEPS = 3 * BAR_LEG_STEPS
_MINUTE_US = 60_000_000
# Half the spread around a bar's path: half a basis point of the price.
_HALF_SPREAD_PART = 20_000
# What stands at the best price of a minute in which nothing was traded: a thousandth of the base currency.
_QUIET_QUANTITY = UNITS // 1_000


def read_raw(path: Path) -> Iterator[Recorded]:
    """Yield the events of a capture with one ``local_ns {json}`` a line; raises ``RecordingError``."""
    merger = DepthMerger()
    number = 0
    try:
        with open_text(path) as lines:
            for number, line in enumerate(lines, start=1):  # noqa: B007 - the handler below names it
                local_ns, _, text = line.partition(" ")
                event = _raw_event(merger, json.loads(text))
                if event is not None:
                    yield int(local_ns) // 1_000, event
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"{path}, line {number}: {type(error).__name__}: {error}") from error


def _raw_event(merger: DepthMerger, message: dict[str, Any]) -> MarketEvent | None:
    if "lastUpdateId" in message:
        return merger.snapshot(message["lastUpdateId"], _raw_levels(message["bids"], message["asks"]))
    data = message["data"]
    kind = message["stream"].partition("@")[2]
    if kind.startswith("depth"):
        return merger.depth(data["u"], _raw_levels(data["b"], data["a"]))
    if kind == "bookTicker":
        return merger.top(data["u"], *(parse_units(data[name]) for name in ("b", "B", "a", "A")))
    if kind == "trade" and merger.synchronised:
        # "m": the buyer was the maker, so the seller was the aggressor.
        aggressor = Side.SELL if data["m"] else Side.BUY
        return TradePrinted(aggressor, parse_units(data["p"]), parse_units(data["q"]))
    return None


def _raw_levels(bids: list[list[str]], asks: list[list[str]]) -> list[Level]:
    return [
        (side, parse_units(price), parse_units(quantity))
        for side, pairs in ((Side.BUY, bids), (Side.SELL, asks))
        for price, quantity in pairs
    ]


_SNAPSHOT, _DEPTH, _TRADE, _TOP = range(4)
_L2_COLUMNS = ("msg", "local_ns", "event", "last_id", "side", "price", "qty")
_SIDES = {1: Side.BUY, -1: Side.SELL}


def read_l2(path: Path) -> Iterator[Recorded]:
    """Yield the events of a normalised order book file (Parquet); raises ``RecordingError``."""
    file = _open(path)
    price_to_units = _scale(path, file, "price_scale")
    quantity_to_units = _scale(path, file, "qty_scale")
    merger = DepthMerger()
    for _, message in groupby(_rows(path, file, _L2_COLUMNS), key=lambda row: row[0]):
        rows = list(message)
        _, local_ns, kind, update_id, *_ = rows[0]
        levels = [(_SIDES[row[4]], price_to_units(row[5]), quantity_to_units(row[6])) for row in rows]
        event = _l2_event(merger, kind, update_id, levels)
        if event is not None:
            yield local_ns // 1_000, event


def _l2_event(merger: DepthMerger, kind: int, update_id: int, levels: list[Level]) -> MarketEvent | None:
    if kind == _SNAPSHOT:
        return merger.snapshot(update_id, levels)
    if kind == _DEPTH:
        return merger.depth(update_id, levels)
    if kind == _TOP:
        sides = {side: (price, quantity) for side, price, quantity in levels}
        return merger.top(update_id, *sides[Side.BUY], *sides[Side.SELL])
    if kind == _TRADE and merger.synchronised:
        side, price, quantity = levels[0]
        return TradePrinted(side, price, quantity)
    return None


_BAR_COLUMNS = ("open_time_ms", "open", "high", "low", "close", "volume")


def read_bars(path: Path) -> Iterator[Recorded]:
    """Yield quotes and trades around the path of one-minute bars (Parquet); raises ``RecordingError``.

    A bar's path is open, then the extreme that lies against its direction, then the other, then close.
    """
    file = _open(path)
    price_to_units = _scale(path, file, "price_scale")
    volume_to_units = _scale(path, file, "volume_scale")
    tick = price_to_units(1)
    for open_ms, *prices, volume in _rows(path, file, _BAR_COLUMNS):
        open_, high, low, close = (price_to_units(price) for price in prices)
        corners = (open_, low, high, close) if close >= open_ else (open_, high, low, close)
        quantity = volume_to_units(volume) // BAR_STEPS
        for step, (before, price) in enumerate(_path(corners, tick)):
            ts_us = open_ms * 1_000 + step * _MINUTE_US // BAR_STEPS
            half_spread = max(price // _HALF_SPREAD_PART // tick, 1) * tick
            top_quantity = quantity or _QUIET_QUANTITY
            yield ts_us, TopSet(price - half_spread, top_quantity, price + half_spread, top_quantity)
            if quantity:
                yield ts_us, TradePrinted(Side.BUY if price >= before else Side.SELL, price, quantity)


def _path(corners: tuple[int, ...], tick: int) -> Iterator[tuple[int, int]]:
    """Yield (price before, price) on the straight ways between the corners, on the tick, each corner's end exact."""
    before = corners[0]
    for start, end in pairwise(corners):
        for step in range(1, BAR_LEG_STEPS + 1):
            price = start + (end - start) * step // (BAR_LEG_STEPS * tick) * tick
            yield before, price
            before = price


def _open(path: Path) -> parquet.ParquetFile:
    try:
        return parquet.ParquetFile(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise RecordingError(f"{path}: {error}") from error


def _scale(path: Path, file: parquet.ParquetFile, name: str) -> Callable[[int], int]:
    """Return what turns the file's integers into units."""
    text = (file.schema_arrow.metadata or {}).get(name.encode())
    if text is None:
        raise RecordingError(f"{path}: {name} is missing in the schema's metadata")
    scale = int(text)
    if scale < 1 or UNITS % scale:
        raise RecordingError(f"{path}: {name} {scale} is finer than eight decimal places")
    factor = UNITS // scale
    return lambda value: value * factor


def _rows(path: Path, file: parquet.ParquetFile, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    missing = [name for name in columns if name not in file.schema_arrow.names]
    if missing:
        raise RecordingError(f"{path}: the columns {', '.join(missing)} are missing")
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns)):
        yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
