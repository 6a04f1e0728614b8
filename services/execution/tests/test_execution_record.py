"""A record in a snapshot is the record: every field of it comes back as it was."""

import json
from dataclasses import fields, replace
from decimal import Decimal

from execution_samples import Desk, order_id, trade

from tollgate_contracts.execution import OrderState
from tollgate_contracts.reasons import Reason
from tollgate_execution.core.fee_rates import FeeRate
from tollgate_execution.core.placing import Leg, Placing
from tollgate_execution.core.record import (
    Booked,
    Busted,
    CancelWish,
    OrderRecord,
    record_from_json,
    record_to_json,
)


def fresh() -> OrderRecord:
    desk = Desk()
    desk.approve()
    return desk.record()


def full() -> OrderRecord:
    """Return a record of which no field is what it is in a fresh one."""
    placing = replace(
        fresh().placing,
        client_order_id=order_id(2),
        venue_id=order_id(3),
        leg=Leg.PROTECTION,
        attempt=4,
        quantity=Decimal("1.50"),
        limit_price=Decimal("99.5"),
        until_us=5,
        trigger_price=Decimal("98.5"),
    )
    return replace(
        fresh(),
        decision_id="risk:99:1",
        placing=placing,
        state=OrderState.CANCELLING,
        since_us=1,
        look_us=2,
        placed_us=3,
        protects=order_id(4),
        waits_for=order_id(5),
        replaces_since=6,
        venue_order_id="v1",
        acknowledged=True,
        shown_us=12,
        sends=2,
        doubted_us=7,
        booked=Decimal("1.25"),
        booked_quote=Decimal("124.75"),
        said=Decimal("1.5"),
        trades=(Booked(trade(1, "1"), 1, 8), Booked(trade(2, "0.25"), 4, 9, FeeRate(Decimal("0.5"), "quote:7"))),
        busted=(Busted("t3", Decimal("0.5")), Busted("t4", Decimal(0))),
        claimed=OrderState.EXPIRED,
        claim_is_counted=True,
        before_cancel=OrderState.PARTIALLY_FILLED,
        cancel=CancelWish(Reason.ORDER_STALE, 10, refused=True),
        late=True,
        probes=11,
        noted=("one", "two"),
        reopened=True,
    )


def through_json(record: OrderRecord) -> OrderRecord:
    return record_from_json(json.loads(json.dumps(record_to_json(record))))


def test_every_field_comes_back() -> None:
    first, other = fresh(), full()
    same = [field.name for field in fields(OrderRecord) if getattr(first, field.name) == getattr(other, field.name)]
    assert same == ["signed", "approval"]
    for record in (first, other, replace(other, cancel=CancelWish(None, None))):
        assert through_json(record) == record
        assert record_to_json(through_json(record)) == record_to_json(record)


def test_a_placing_without_prices_comes_back() -> None:
    placing = replace(fresh().placing, limit_price=None)
    assert Placing.from_json(json.loads(json.dumps(placing.to_json()))) == placing


def test_what_is_carried_is_of_earlier_attempts_alone() -> None:
    record = full()
    assert record.carried == 1
    assert record.busted_quantity == Decimal("0.5")
    assert replace(record, placing=replace(record.placing, attempt=1)).carried == 0
