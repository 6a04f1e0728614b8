"""The order state machine: every state against everything that a report can say."""

from decimal import Decimal
from typing import Any

import pytest
from execution_samples import SECOND_US, START_US, Desk, order_id, trade

from tollgate_contracts.execution import TERMINAL_STATES, OrderState, ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Difference, Repair
from tollgate_execution.core import Cancel, Query, Settle, Submit
from tollgate_execution.core.orders import TABLES, Move

S, R, FROM = OrderState, ReportStatus, ReportSource

# What each report does to an order in each state, one column a status. A letter is the state after it; "." that
# nothing follows; "!" that it is impossible: the state stays, and the tape says so; "+" that an order which we held
# never to have been at the venue is there after all: it is adopted, and the state stays. EXPIRED stands for an order
# that the venue has let expire, ABSENT for one that is EXPIRED because it never arrived.
COLUMNS = (R.OPEN, R.TRADED, R.FILLED, R.CANCELLED, R.EXPIRED, R.REJECTED, R.ABSENT, R.NO_ANSWER, R.NOT_SENT)
LETTERS = {
    "S": S.SUBMITTING,
    "A": S.ACKNOWLEDGED,
    "P": S.PARTIALLY_FILLED,
    "U": S.UNKNOWN,
    "F": S.FILLED,
    "C": S.CANCELLED,
    "R": S.REJECTED,
    "X": S.EXPIRED,
}
FRAMES = """
    PLANNED           !  !  !  !  !  !  !  !  !
    SUBMITTING        A  .  F  C  X  R  !  !  !
    ACKNOWLEDGED      .  .  F  C  X  R  !  !  !
    PARTIALLY_FILLED  .  .  F  C  X  C  !  !  !
    CANCELLING        .  .  F  C  X  R  !  !  !
    UNKNOWN           A  .  F  C  X  R  !  !  !
    FILLED            .  .  .  !  !  !  !  !  !
    CANCELLED         .  .  .  .  .  .  !  !  !
    REJECTED          +  .  +  +  +  .  !  !  !
    EXPIRED           .  .  .  .  .  .  !  !  !
    ABSENT            +  .  +  +  +  .  !  !  !
"""
GRIDS = {
    FROM.SUBMIT: """
    PLANNED           !  !  !  !  !  !  !  !  !
    SUBMITTING        A  .  F  C  X  R  !  U  R
    ACKNOWLEDGED      .  .  F  C  X  R  !  .  !
    PARTIALLY_FILLED  .  .  F  C  X  C  !  .  !
    CANCELLING        .  .  F  C  X  R  !  .  !
    UNKNOWN           A  .  F  C  X  R  !  .  !
    FILLED            .  .  .  !  !  !  !  .  !
    CANCELLED         .  .  .  .  .  .  !  .  .
    REJECTED          +  .  +  +  +  .  !  .  .
    EXPIRED           .  .  .  .  .  .  !  .  .
    ABSENT            +  .  +  +  +  .  !  .  .
""",
    FROM.CANCEL: """
    PLANNED           !  !  !  !  !  !  !  !  !
    SUBMITTING        .  .  F  C  X  .  .  .  .
    ACKNOWLEDGED      .  .  F  C  X  .  U  .  .
    PARTIALLY_FILLED  .  .  F  C  X  .  U  .  .
    CANCELLING        .  .  F  C  X  .  U  .  A
    UNKNOWN           .  .  F  C  X  .  .  .  .
    FILLED            .  .  .  !  !  .  .  .  .
    CANCELLED         .  .  .  .  .  .  .  .  .
    REJECTED          +  .  +  +  +  .  .  .  .
    EXPIRED           .  .  .  .  .  .  .  .  .
    ABSENT            +  .  +  +  +  .  .  .  .
""",
    FROM.QUERY: """
    PLANNED           !  !  !  !  !  !  .  .  !
    SUBMITTING        A  .  F  C  X  R  .  .  !
    ACKNOWLEDGED      .  .  F  C  X  R  U  .  !
    PARTIALLY_FILLED  .  .  F  C  X  C  U  .  !
    CANCELLING        .  .  F  C  X  R  U  .  !
    UNKNOWN           A  .  F  C  X  R  .  .  !
    FILLED            .  .  .  !  !  !  .  .  !
    CANCELLED         .  .  .  .  .  .  .  .  !
    REJECTED          +  .  +  +  +  .  .  .  !
    EXPIRED           .  .  .  .  .  .  .  .  !
    ABSENT            +  .  +  +  +  .  .  .  !
""",
    FROM.FILLS: FRAMES,
    FROM.STREAM: FRAMES,
    FROM.JOURNAL: """
    PLANNED           !  !  !  !  !  !  !  !  .
    SUBMITTING        !  !  !  !  !  !  !  !  R
    ACKNOWLEDGED      !  !  !  !  !  !  !  !  !
    PARTIALLY_FILLED  !  !  !  !  !  !  !  !  !
    CANCELLING        !  !  !  !  !  !  !  !  !
    UNKNOWN           !  !  !  !  !  !  !  !  !
    FILLED            !  !  !  !  !  !  !  !  !
    CANCELLED         !  !  !  !  !  !  !  !  .
    REJECTED          !  !  !  !  !  !  !  !  .
    EXPIRED           !  !  !  !  !  !  !  !  .
    ABSENT            !  !  !  !  !  !  !  !  .
""",
    FROM.OPERATOR: """
    PLANNED           !  !  !  !  !  !  !  !  !
    SUBMITTING        !  !  !  !  !  !  !  !  !
    ACKNOWLEDGED      !  !  !  !  !  !  !  !  !
    PARTIALLY_FILLED  !  !  !  !  !  !  !  !  !
    CANCELLING        !  !  !  !  !  !  !  !  !
    UNKNOWN           !  !  !  C  X  R  !  !  !
    FILLED            !  !  !  .  .  .  !  !  !
    CANCELLED         !  !  !  .  .  .  !  !  !
    REJECTED          !  !  !  .  .  .  !  !  !
    EXPIRED           !  !  !  .  .  .  !  !  !
    ABSENT            !  !  !  .  .  .  !  !  !
""",
}
Case = tuple[ReportSource, str, ReportStatus, str]


def cases() -> list[Case]:
    """Return source, state, status and letter of every cell."""
    return [
        (source, state, status, letter)
        for source, grid in GRIDS.items()
        for state, *letters in (line.split() for line in grid.split("\n") if line.strip())
        for status, letter in zip(COLUMNS, letters, strict=True)
    ]


def order_in(name: str) -> Desk:
    """Return a desk with order 1 of 2 BTC that evidence has led to a state."""
    desk = Desk()
    if name == "PLANNED":
        # It waits for the end of the order that it replaces.
        desk.approve(9, time_in_force="GTC")
        desk.approve(replaces=order_id(9))
        assert desk.state() == name
        return desk
    desk.approve(time_in_force="GTC")
    ways: dict[str, list[tuple[ReportStatus, dict[str, Any]]]] = {
        "ACKNOWLEDGED": [(R.OPEN, {"filled": "0"})],
        "PARTIALLY_FILLED": [(R.OPEN, {"filled": "1", "trades": (trade(1, "1"),)})],
        "CANCELLING": [(R.OPEN, {"filled": "0"})],
        "UNKNOWN": [(R.NO_ANSWER, {})],
        "FILLED": [(R.FILLED, {"filled": "2", "trades": (trade(1, "2"),)})],
        "CANCELLED": [(R.CANCELLED, {"filled": "0"})],
        "REJECTED": [(R.REJECTED, {})],
        "EXPIRED": [(R.EXPIRED, {"filled": "0"})],
    }
    for status, changes in ways.get(name, []):
        desk.hear(status, FROM.SUBMIT, **changes)
    if name == "CANCELLING":
        desk.approve(action="CANCEL")
    if name == "ABSENT":
        desk.now_us += 10 * SECOND_US
        desk.hear(R.ABSENT, FROM.QUERY)
    assert desk.state() == ("EXPIRED" if name == "ABSENT" else name)
    return desk


def evidence_for(desk: Desk, status: ReportStatus) -> dict[str, Any]:
    """Return consistent quantities: what is filled stays filled, and FILLED comes with every trade."""
    record = desk.core.orders.get(order_id(1))
    assert record is not None
    if status is R.FILLED and not record.is_over and record.state is not S.PLANNED:
        rest = record.approval.quantity - record.booked
        return {"filled": "2", "trades": (trade(2, str(rest)),)}
    return {"filled": None if status in {R.FILLED, R.TRADED} else str(record.booked)}


@pytest.mark.parametrize(("source", "before", "status", "letter"), cases())
def test_what_every_report_does_in_every_state(
    source: ReportSource, before: str, status: ReportStatus, letter: str
) -> None:
    desk = order_in(before)
    state = desk.state()
    changes = {} if letter == "!" else evidence_for(desk, status)
    if status is R.ABSENT:
        # Sooner after it was shown, a look-up may not find it yet.
        desk.now_us += SECOND_US
    desk.hear(status, source, **changes)
    assert desk.state() == (LETTERS[letter].value if letter in LETTERS else state)
    drifts = [note.repair.value for note in desk.notes() if note.difference is Difference.STATE_DRIFT]
    assert drifts == (["FLAGGED"] if letter == "!" else [])
    adopted = [note for note in desk.notes() if note.repair is Repair.ADOPTED]
    assert bool(adopted) is (letter == "+")


def test_every_cell_of_every_table_is_covered_here_and_terminal_states_have_no_way_out() -> None:
    assert {(source, state, status) for source, state, status, _ in cases() if state != "ABSENT"} == {
        (source, state.value, status) for source in ReportSource for state in OrderState for status in ReportStatus
    }
    assert set(TABLES) == set(ReportSource)
    for table in TABLES.values():
        assert set(table) == set(OrderState)
        for state, row in table.items():
            assert set(row) == set(ReportStatus)
            if state in TERMINAL_STATES:
                assert set(row.values()) <= {Move.STAY, Move.LATE, Move.SETTLE, Move.IMPOSSIBLE}


def test_what_is_impossible_is_said_once_and_changes_nothing_else() -> None:
    desk = order_in("ACKNOWLEDGED")
    before = desk.core.orders.get(order_id(1))
    for _ in range(3):
        desk.hear(R.NOT_SENT, FROM.STREAM)
    assert [note.differed for note in desk.notes()] == ["NOT_SENT by STREAM cannot follow from ACKNOWLEDGED"]
    after = desk.core.orders.get(order_id(1))
    assert before is not None
    assert after == before.with_note(after.noted[0] if after else "")


def test_each_kind_of_impossible_is_said() -> None:
    desk = order_in("ACKNOWLEDGED")
    for status in (R.NOT_SENT, R.ABSENT):
        desk.hear(status, FROM.STREAM)
    assert [note.differed.split()[0] for note in desk.notes()] == ["NOT_SENT", "ABSENT"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (R.OPEN, None),
        (R.FILLED, None),
        (R.CANCELLED, None),
        (R.EXPIRED, None),
        (R.REJECTED, Reason.VENUE_REJECTED),
        (R.NO_ANSWER, Reason.VENUE_UNKNOWN_OUTCOME),
    ],
)
def test_a_venue_that_says_no_reason_is_quoted_with_none_but_for_a_refusal_and_for_silence(
    status: ReportStatus, reason: Reason | None
) -> None:
    desk = order_in("SUBMITTING")
    desk.hear(status, FROM.SUBMIT, **evidence_for(desk, status))
    assert desk.orders()[-1].reason is reason


@pytest.mark.parametrize("counted", [None, "1"])
def test_an_end_that_is_not_whole_yet_leaves_an_order_cancelling(counted: str | None) -> None:
    """It ends when it was looked up, or its last trade is booked, and does not work again in between."""
    desk = order_in("CANCELLING")
    desk.hear(R.CANCELLED, FROM.STREAM, filled=counted)
    assert desk.state() == "CANCELLING"
    desk.hear(R.CANCELLED, FROM.QUERY, filled=counted, trades=() if counted is None else (trade(1, counted),))
    assert (desk.state(), desk.record().cancel) == ("CANCELLED", None)


def test_not_sent_after_the_venue_has_shown_the_order_is_said_once() -> None:
    desk = order_in("ACKNOWLEDGED")
    for _ in range(2):
        desk.hear(R.NOT_SENT, FROM.SUBMIT, reason=Reason.GATE_NO_PERMIT)
    assert len(desk.notes()) == 1


def test_silence_after_the_venue_has_shown_the_order_is_no_doubt() -> None:
    desk = order_in("SUBMITTING")
    desk.hear(R.OPEN, FROM.CANCEL, filled="0")
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    assert desk.state() == "SUBMITTING"


def test_an_approval_is_planned_and_submitting_in_one_step() -> None:
    desk = Desk()
    step = desk.approve()
    (order,) = desk.orders()
    assert (order.from_state, order.to_state) == (S.PLANNED, S.SUBMITTING)
    assert order.id == f"execution:{desk.sequence - 1}:0"
    (effect,) = step.effects
    assert isinstance(effect, Submit)
    assert effect.approval.client_order_id == order_id(1)


def test_a_filled_order_says_its_fills_before_its_state() -> None:
    desk = Desk()
    desk.approve()
    step = desk.hear(R.FILLED, FROM.SUBMIT, filled="2", trades=(trade(1, "0.5", "99"), trade(2, "1.5")))
    assert [message.kind for message in step.outputs] == ["fill", "fill", "order"]
    assert desk.orders()[-1].cumulative_quantity == Decimal(2)
    assert desk.orders()[-1].cumulative_quote == Decimal("199.5")
    assert Settle(order_id(1), S.FILLED, is_over=True) in step.effects
    assert desk.core.status()["positions"] == {"BTC-USDT": "2"}


def test_a_fill_before_the_acknowledgement_is_booked_and_the_late_answer_changes_nothing() -> None:
    desk = Desk()
    desk.approve()
    desk.hear(R.OPEN, FROM.STREAM, filled="1", trades=(trade(1, "1"),))
    assert desk.state() == "PARTIALLY_FILLED"
    step = desk.hear(R.OPEN, FROM.SUBMIT, filled="0")
    assert step.outputs == ()
    assert desk.state() == "PARTIALLY_FILLED"


def test_a_fill_after_the_cancel_is_booked_and_the_state_stays_final() -> None:
    desk = order_in("CANCELLED")
    step = desk.hear(R.CANCELLED, FROM.STREAM, filled="1", trades=(trade(7, "1"),))
    assert [message.kind for message in step.outputs] == ["fill", "reconcile"]
    assert desk.state() == "CANCELLED"
    assert desk.core.status()["positions"] == {"BTC-USDT": "1"}


def test_filled_without_its_trades_waits_for_them_and_asks() -> None:
    desk = Desk()
    desk.approve()
    step = desk.hear(R.FILLED, FROM.SUBMIT, filled="2")
    assert desk.state() == "ACKNOWLEDGED"
    assert [type(effect) for effect in step.effects] == [Query, Settle]
    desk.hear(R.OPEN, FROM.STREAM, filled="1", trades=(trade(1, "1"),))
    assert desk.state() == "PARTIALLY_FILLED"
    desk.hear(R.FILLED, FROM.QUERY, filled="2", trades=(trade(1, "1"), trade(2, "1")))
    assert desk.state() == "FILLED"
    assert len(desk.fills()) == 2


def test_filled_means_in_full_whatever_count_comes_with_it() -> None:
    desk = Desk()
    desk.approve()
    step = desk.hear(R.FILLED, FROM.SUBMIT, filled="1", trades=(trade(1, "1"),))
    assert desk.state() == "PARTIALLY_FILLED"
    assert any(isinstance(effect, Query) for effect in step.effects)
    desk.hear(R.TRADED, FROM.FILLS, trades=(trade(2, "1"),))
    assert desk.state() == "FILLED"


def test_a_cancelled_order_with_trades_missing_ends_when_the_last_of_them_is_booked() -> None:
    desk = Desk()
    desk.approve()
    step = desk.hear(R.CANCELLED, FROM.SUBMIT, filled="1.5")
    assert desk.state() == "ACKNOWLEDGED"
    assert any(isinstance(effect, Query) for effect in step.effects)
    desk.hear(R.OPEN, FROM.STREAM, filled="1", trades=(trade(1, "1"),))
    assert desk.state() == "PARTIALLY_FILLED"
    desk.hear(R.OPEN, FROM.STREAM, filled="1.5", trades=(trade(2, "0.5"),))
    assert desk.state() == "CANCELLED"


def test_a_cancel_without_a_count_is_believed_only_after_a_look_up() -> None:
    desk = order_in("ACKNOWLEDGED")
    step = desk.hear(R.CANCELLED, FROM.STREAM)
    assert desk.state() == "ACKNOWLEDGED"
    assert any(isinstance(effect, Query) for effect in step.effects)
    desk.hear(R.CANCELLED, FROM.QUERY)
    assert desk.state() == "CANCELLED"


def test_a_trade_that_comes_again_is_booked_once() -> None:
    desk = order_in("ACKNOWLEDGED")
    for source in (FROM.STREAM, FROM.STREAM, FROM.QUERY):
        desk.hear(R.OPEN, source, filled="1", trades=(trade(1, "1"),))
    assert len(desk.fills()) == 1


def test_the_same_trade_id_with_other_content_is_not_booked_and_said_once() -> None:
    desk = order_in("ACKNOWLEDGED")
    desk.hear(R.OPEN, filled="1", trades=(trade(1, "1"),))
    for _ in range(2):
        desk.hear(R.OPEN, filled="1", trades=(trade(1, "0.5"),))
    assert len(desk.fills()) == 1
    assert len(desk.notes()) == 1


def test_a_trade_beyond_the_quantity_is_not_booked_and_said_once() -> None:
    desk = order_in("ACKNOWLEDGED")
    for _ in range(2):
        desk.hear(R.OPEN, filled="3", trades=(trade(1, "3"),))
    assert desk.fills() == []
    assert {note.subject for note in desk.notes()} == {"t1", order_id(1)}
    assert len(desk.notes()) == 2


def test_a_trade_worse_than_the_limit_is_booked_and_said() -> None:
    desk = order_in("ACKNOWLEDGED")
    desk.hear(R.OPEN, filled="1", trades=(trade(1, "1", "100.01"),))
    assert len(desk.fills()) == 1
    assert "worse than the limit" in desk.notes()[0].differed


@pytest.mark.parametrize("price", ["50000000000000000000", "99999999999999999999"])
def test_a_price_beyond_any_amount_does_not_break_our_own_messages(price: str) -> None:
    """Twenty digits are the most that a message holds: two at half of 10^20 come to one more."""
    desk = Desk()
    desk.approve(limit_price=price)
    desk.hear(R.OPEN, FROM.SUBMIT, filled="2", trades=(trade(1, "2", price),))
    assert desk.fills() == []
    assert len(desk.notes()) == 1


def test_a_product_of_many_places_is_rounded_for_the_wire_only() -> None:
    desk = Desk()
    desk.approve(quantity="0.000000000000000002", limit_price="100.000000000000000001")
    tiny = trade(1, "0.000000000000000001", "100.000000000000000001")
    desk.hear(R.OPEN, FROM.SUBMIT, filled="0.000000000000000001", trades=(tiny,))
    assert desk.orders()[-1].cumulative_quote == Decimal("0.0000000000000001")


def test_absence_before_the_submit_can_no_longer_arrive_proves_nothing() -> None:
    """Asked at expiry plus receive window plus visibility it is proof; a microsecond before, by either clock, none."""
    for asked_us, venue_us, after in (
        (8_999_999, None, "UNKNOWN"),
        (9_000_000, None, "EXPIRED"),
        (10_000_000, 8_999_999, "UNKNOWN"),
        (10_000_000, 9_000_000, "EXPIRED"),
    ):
        desk = order_in("UNKNOWN")
        desk.now_us = START_US + asked_us
        venue_ts_us = None if venue_us is None else START_US + venue_us
        desk.hear(R.ABSENT, FROM.QUERY, venue_ts_us=venue_ts_us)
        assert desk.state() == after


def test_absence_of_an_order_that_the_venue_has_shown_is_unknown_whatever_the_time() -> None:
    desk = order_in("ACKNOWLEDGED")
    desk.wait(60 * SECOND_US)
    desk.hear(R.ABSENT, FROM.QUERY)
    assert desk.state() == "UNKNOWN"
    desk.hear(R.ABSENT, FROM.QUERY)
    assert desk.state() == "UNKNOWN"
    assert len(desk.notes()) == 1


@pytest.mark.parametrize("source", [FROM.QUERY, FROM.CANCEL])
def test_absence_while_what_was_just_shown_may_be_invisible_proves_nothing_and_says_nothing(
    source: ReportSource,
) -> None:
    """Within the venue's visibility of the first that was seen of an order; a microsecond later counts."""
    desk = order_in("ACKNOWLEDGED")
    desk.wait(SECOND_US // 2)
    desk.hear(R.OPEN, FROM.STREAM, filled="1", trades=(trade(1, "1"),))
    desk.now_us += SECOND_US // 2 - 1
    assert not desk.hear(R.ABSENT, source).outputs
    assert desk.state() == "PARTIALLY_FILLED"
    desk.now_us += 1
    desk.hear(R.ABSENT, source)
    assert desk.state() == "UNKNOWN"
    assert [note.difference for note in desk.notes()] == [Difference.MISSING_ORDER]


def test_a_time_of_the_venue_at_which_it_had_not_yet_shown_the_order_proves_no_absence() -> None:
    desk = order_in("ACKNOWLEDGED")
    desk.wait(60 * SECOND_US)
    desk.hear(R.ABSENT, FROM.QUERY, venue_ts_us=START_US + SECOND_US - 1)
    assert desk.state() == "ACKNOWLEDGED"


def test_silence_after_a_submit_is_unknown_and_says_why() -> None:
    desk = order_in("UNKNOWN")
    assert desk.orders()[-1].reason is Reason.VENUE_UNKNOWN_OUTCOME


def test_a_question_without_answer_leaves_a_submit_that_is_under_way_alone() -> None:
    desk = order_in("SUBMITTING")
    desk.hear(R.NO_ANSWER, FROM.QUERY)
    assert desk.state() == "SUBMITTING"
    desk.hear(R.NOT_SENT, FROM.SUBMIT, reason=Reason.GATE_NO_PERMIT)
    assert desk.state() == "REJECTED"


def test_not_sent_is_rejected_with_the_reason_of_the_last_check() -> None:
    desk = Desk()
    desk.approve()
    desk.hear(R.NOT_SENT, FROM.SUBMIT, reason=Reason.GATE_NO_PERMIT)
    assert desk.state() == "REJECTED"
    assert desk.orders()[-1].reason is Reason.GATE_NO_PERMIT


def test_a_refused_cancel_is_looked_up_and_an_order_still_open_works_on() -> None:
    desk = order_in("CANCELLING")
    step = desk.hear(R.REJECTED, FROM.CANCEL, reason=Reason.VENUE_REJECTED)
    assert desk.state() == "CANCELLING"
    assert [type(effect) for effect in step.effects] == [Query]
    desk.hear(R.OPEN, FROM.QUERY, filled="0")
    assert desk.state() == "ACKNOWLEDGED"


def test_a_silent_cancel_is_given_up_only_when_it_can_arrive_no_more() -> None:
    desk = order_in("CANCELLING")
    desk.hear(R.NO_ANSWER, FROM.CANCEL)
    desk.now_us += 7_999_999
    desk.hear(R.OPEN, FROM.QUERY, filled="0")
    assert desk.state() == "CANCELLING"
    desk.now_us += 1
    desk.hear(R.OPEN, FROM.QUERY, filled="0")
    assert desk.state() == "ACKNOWLEDGED"


def test_a_cancel_of_an_unknown_order_is_sent_and_the_order_stays_unknown() -> None:
    desk = order_in("UNKNOWN")
    step = desk.approve(action="CANCEL")
    assert [type(effect) for effect in step.effects] == [Cancel]
    assert desk.state() == "UNKNOWN"
    desk.hear(R.CANCELLED, FROM.CANCEL, filled="0")
    assert desk.state() == "CANCELLED"


def test_a_cancel_before_the_answer_to_the_submit_and_then_silence() -> None:
    desk = order_in("SUBMITTING")
    desk.approve(action="CANCEL")
    assert desk.state() == "CANCELLING"
    desk.hear(R.NOT_SENT, FROM.CANCEL, reason=Reason.APPROVAL_EXPIRED)
    assert desk.state() == "SUBMITTING"


def test_an_order_of_ours_that_we_do_not_hold_is_said_once() -> None:
    desk = Desk()
    for _ in range(2):
        desk.hear(R.OPEN, FROM.QUERY, number=99, filled="0")
    assert [note.subject for note in desk.notes()] == [order_id(99)]


def test_a_fill_that_oversells_stands_and_is_said() -> None:
    desk = Desk()
    desk.approve(side="SELL")
    desk.hear(R.FILLED, FROM.SUBMIT, filled="2", trades=(trade(1, "2"),))
    assert desk.state() == "FILLED"
    assert len(desk.fills()) == 1
    assert len(desk.notes()) == 1
