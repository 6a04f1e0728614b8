"""A record as texts that a database can hold, and back.

The broker carries any text in a subject, an id and a header, also a zero character, which Postgres holds in none. So
each is archived as JSON writes it, in ASCII and without the quotation marks: what is plain stays as it is, and of two
records that differ the texts differ.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from tollgate_chassis.tape.records import Record

_PLAIN = re.compile(r"[A-Za-z0-9 .:_>*/+-]*")


class StoredRow(Protocol):
    """A row of a database, by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any: ...


def archived_text(text: str) -> str:
    """Return ``text`` as it is archived."""
    return json.dumps(text)[1:-1]


def text_of(archived: str) -> str:
    """Return the text that ``archived_text`` has returned as ``archived``; raises ``ValueError`` for any other."""
    # What is plain is archived as it is, and whoever reads the whole archive asks for nothing else.
    if _PLAIN.fullmatch(archived):
        return archived
    return str(json.loads(f'"{archived}"'))


def archived_headers(headers: Mapping[str, str]) -> str:
    """Return ``headers`` as they are archived: a JSON object with sorted names."""
    return json.dumps(dict(headers), sort_keys=True, separators=(",", ":")) if headers else "{}"


def record_of(row: StoredRow) -> Record:
    """Return the record that a row of the archive keeps; raises ``ValueError`` for a row that keeps none.

    Ask ``tollgate_chassis.tape.chain.row_hash`` first whether the row is the one that was archived.
    """
    headers = json.loads(row["headers"])
    if not isinstance(headers, dict) or not all(isinstance(content, str) for content in headers.values()):
        raise ValueError(f"the headers are {row['headers']}")
    identity = (row["tape_sequence"], text_of(row["subject"]), text_of(row["message_id"]))
    return Record(*identity, row["body"], headers, row["stored_us"])
