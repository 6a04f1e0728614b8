"""Which records of a tape were put back from the archive, and when they were stored the first time.

The broker stamps what it stores with its own time, and a reader refuses a message that is ahead of that time
(docs/decisions/0011). A record that is put back carries the first time in a header, or it would be read otherwise than
it was. The header counts only where the stream's own description says that records were put back, which only the
provisioner can write: elsewhere it would be a way for a service to be ahead of the clock.
"""

from collections.abc import Iterable, Mapping
from typing import Any

STORED_US_HEADER = "Tollgate-Stored-Us"
METADATA = "tollgate-restored"
"""Key in the stream's metadata; its value is ``<first>-<last>`` for each span of sequences, comma-separated."""


def restored_spans(description: Mapping[str, Any]) -> tuple[range, ...]:
    """Return the sequences that were put back, from the broker's description of the stream."""
    text = (description["config"].get("metadata") or {}).get(METADATA, "")
    spans = (span.split("-") for span in text.split(",") if span)
    return tuple(range(int(first), int(last) + 1) for first, last in spans)


def restored_text(spans: Iterable[range]) -> str:
    """Return the value under ``METADATA`` for ``spans``."""
    return ",".join(f"{span.start}-{span.stop - 1}" for span in spans if span)


def first_stored_us(sequence: int, headers: Mapping[str, str], spans: Iterable[range]) -> int | None:
    """Return when a record that was put back was stored first, none for any other record."""
    text = headers.get(STORED_US_HEADER, "")
    return int(text) if text.isdecimal() and any(sequence in span for span in spans) else None
