"""What an audit has found, and where: of each part the first row that is not as it must be."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Part(StrEnum):
    """What is proved, in the order in which it is told."""

    ARCHIVE = "archive"
    """Each archived record continues the hash chain of the tape."""
    TAPE = "tape"
    """Each archived record is the one that lies on the broker's tape."""
    JOURNAL = "journal"
    """Each entry, with its postings, continues the hash chain of the journal."""
    SUMS = "sums"
    """The postings of each entry sum to zero in every currency, and so do all accounts together."""
    BOOKS = "books"
    """Entries, postings and balances are those that the archive leads to when it is stepped again."""
    READ_MODEL = "read_model"
    """So are the rows that reports are made from."""
    CHECKPOINT = "checkpoint"
    """The place where the ledger would go on, and its state there, are those of the archive."""
    SEALS = "seals"
    """The ledger's signatures are of these chains, and not long ago."""
    SCHEMA = "schema"
    """The database still refuses what it must: rules, triggers and rights are those that the ledger's file makes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One row that is not as it must be."""

    part: Part
    table: str
    row: str
    """Its key, such as ``17`` or ``17/2``; empty where the table as a whole is meant."""
    what: str

    def __str__(self) -> str:
        """Tell it for a person."""
        return f"{self.table} {self.row}: {self.what}" if self.row else f"{self.table}: {self.what}"


@dataclass
class Audit:
    """What was looked at and what was found; complete once every part has been through."""

    desk: str = ""
    archived: int = 0
    entries: int = 0
    sealed: int = 0
    """The last archived record under a seal."""
    sealed_us: int = 0
    first_us: int = 0
    """When the broker stored the first archived record that was looked at."""
    newest_us: int = 0
    """And the last."""
    checked: dict[Part, int] = field(default_factory=lambda: dict.fromkeys(Part, 0))
    """Rows that were looked at."""
    found: dict[Part, Finding] = field(default_factory=dict)
    """The first finding of each part."""
    not_proved: list[str] = field(default_factory=list)
    """What could not be looked at, and why."""

    @property
    def holds(self) -> bool:
        """Say whether nothing was found; ``not_proved`` says what that does not cover."""
        return not self.found

    @property
    def first(self) -> Finding | None:
        """The finding of the first part that has one."""
        return next((self.found[part] for part in Part if part in self.found), None)

    def note(self, part: Part, table: str, row: object, what: str) -> None:
        """Note a finding, unless its part has one already."""
        self.found.setdefault(part, Finding(part, table, str(row), what))

    def values(self) -> dict[str, Any]:
        """Return the audit as JSON-ready values, with stable keys."""
        parts = {}
        for part in Part:
            finding = self.found.get(part)
            parts[str(part)] = {
                "rows": self.checked[part],
                "finding": finding and {"table": finding.table, "row": finding.row, "what": finding.what},
            }
        return {
            "holds": self.holds,
            "desk": self.desk,
            "archived": self.archived,
            "entries": self.entries,
            "sealed": self.sealed,
            "sealed_us": self.sealed_us,
            "parts": parts,
            "not_proved": self.not_proved,
        }
