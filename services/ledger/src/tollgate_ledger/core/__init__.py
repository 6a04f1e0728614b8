"""The ledger's pure core: the tape in, journal entries and the state of the books out."""

from tollgate_ledger.core.journal import Alarm, AlarmReason, EntryKind, JournalEntry, Posting
from tollgate_ledger.core.ledger import LedgerCore
from tollgate_ledger.core.parameters import Parameters

__all__ = ["Alarm", "AlarmReason", "EntryKind", "JournalEntry", "LedgerCore", "Parameters", "Posting"]
