"""What is committed with what: a record's rows never go before the record itself."""

from decimal import Decimal

from tollgate_chassis.tape import Record
from tollgate_ledger.core.rows import EquityPoint
from tollgate_ledger.recorder import Recorder
from tollgate_ledger.store import Store


def point(sequence: int) -> EquityPoint:
    amounts = {
        name: Decimal(0)
        for name, kind in EquityPoint.__annotations__.items()
        if name not in {"ts_us", "tape_sequence"} and kind is Decimal
    }
    return EquityPoint(ts_us=1, tape_sequence=sequence, **amounts)


async def test_a_batch_that_is_cut_before_a_record_is_settled_has_none_of_its_rows():
    """The database refuses a row whose record is not archived; outputs are appended between the two."""
    recorder = Recorder(Store("postgresql://nowhere", "main"))
    recorder.note([point(1)])
    await recorder.settle(Record(1, "tape.main", "m1", b"", {}, 1), outputs_are_appended=False)
    recorder.note([point(2)])
    batch = recorder._cut()
    assert ([record.sequence for record in batch.records], batch.rows) == ([1], (point(1),))
    await recorder.settle(Record(2, "tape.main", "m2", b"", {}, 1), outputs_are_appended=False)
    batch = recorder._cut()
    assert ([record.sequence for record in batch.records], batch.rows) == ([2], (point(2),))
