"""Which reader a recording wants, found by looking into the file."""

from collections.abc import Callable, Iterator
from pathlib import Path

from pyarrow import parquet  # type: ignore[import-untyped]  # pyarrow has no types

from tollgate_simvenue.core.market import TradePrinted
from tollgate_simvenue.market import binance, recording
from tollgate_simvenue.market.recording import Recorded, RecordingError, open_text


def read(path: Path, from_us: int | None = None, until_us: int | None = None) -> Iterator[Recorded]:
    """Yield the events of a recording in any known format, times never falling; raises ``RecordingError``.

    What was recorded before ``from_us`` happens at once at that time, without its trades: the book that it led to
    is there. What was recorded at ``until_us`` or later is left out.
    """
    reader = _reader(path)
    newest_us = from_us or 0
    for ts_us, event in reader(path):
        if until_us is not None and ts_us >= until_us:
            return
        if from_us is not None and ts_us < from_us and isinstance(event, TradePrinted):
            continue
        newest_us = max(newest_us, ts_us)
        yield newest_us, event


def _reader(path: Path) -> Callable[[Path], Iterator[Recorded]]:
    if not path.is_file():
        raise RecordingError(f"{path}: there is no such file")
    return _parquet_reader(path) if path.suffix == ".parquet" else _text_reader(path)


def _parquet_reader(path: Path) -> Callable[[Path], Iterator[Recorded]]:
    try:
        metadata = parquet.read_schema(path).metadata or {}
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise RecordingError(f"{path}: {error}") from error
    if b"qty_scale" in metadata:
        return binance.read_l2
    if b"volume_scale" in metadata:
        return binance.read_bars
    raise RecordingError(f"{path}: qty_scale or volume_scale is expected in the schema's metadata")


def _text_reader(path: Path) -> Callable[[Path], Iterator[Recorded]]:
    try:
        with open_text(path) as lines:
            first = lines.readline()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path}: {error}") from error
    if first.lstrip().startswith("{"):
        return recording.read
    if first.partition(" ")[0].isdigit():
        return binance.read_raw
    raise RecordingError(f"{path}: the first line is neither our header nor a line of a raw capture")
