"""The order state machine: two dict tables, total over every state and everything that a report can say.

The law of this module: an order moves only by evidence. ``EVIDENCE`` says what a report about the order itself
does to it, ``CANCEL_ANSWERS`` what the answer to a cancel does. A terminal state has no way out. The outcome of
a submit that was not answered is ``UNKNOWN``, and only the venue's word leads out of that.

Trades are booked whatever the state, because they have happened; the states follow them and never the reverse.
"""

from enum import Enum, unique

from tollgate_contracts.execution import TERMINAL_STATES, OrderState, ReportStatus


@unique
class Move(Enum):
    """What a report does to the state; the record's quantities decide the rest."""

    STAY = "stay"
    """Nothing."""
    WORK = "work"
    """To ACKNOWLEDGED, or to PARTIALLY_FILLED where something traded."""
    FILL = "fill"
    """To FILLED once every trade is booked; until then it works and the missing trades are asked for."""
    CANCEL = "cancel"
    """To CANCELLED once every trade is booked."""
    EXPIRE = "expire"
    """To EXPIRED once every trade is booked."""
    REJECT = "reject"
    """To REJECTED, or to CANCELLED where something traded."""
    UNSENT = "unsent"
    """To REJECTED, unless the venue has shown that it has the order."""
    DOUBT = "doubt"
    """To UNKNOWN, if it was the submit that was not answered; a question without answer changes nothing."""
    ABSENT = "absent"
    """To EXPIRED if asked when the order could arrive no more; to UNKNOWN if the venue once had it; else nothing."""
    STILL_OPEN = "still_open"
    """Back to work if the cancel was answered or can arrive no more; else the cancel is still awaited."""
    RESUME = "resume"
    """Back to where it stood before the cancel, which was not sent."""
    ASK = "ask"
    """Nothing yet: the venue refused the cancel, so the order is looked up."""


_S, _R = OrderState, ReportStatus

_NOTHING = dict.fromkeys(ReportStatus, Move.STAY)
_WORKING = {
    _R.OPEN: Move.WORK,
    _R.FILLED: Move.FILL,
    _R.CANCELLED: Move.CANCEL,
    _R.EXPIRED: Move.EXPIRE,
    _R.REJECTED: Move.REJECT,
    _R.ABSENT: Move.ABSENT,
    _R.NO_ANSWER: Move.STAY,
    _R.NOT_SENT: Move.STAY,
}
EVIDENCE: dict[OrderState, dict[ReportStatus, Move]] = {
    # Never seen between two steps: an approval goes through PLANNED within one.
    _S.PLANNED: _NOTHING,
    _S.SUBMITTING: {**_WORKING, _R.NO_ANSWER: Move.DOUBT, _R.NOT_SENT: Move.UNSENT},
    _S.ACKNOWLEDGED: _WORKING,
    _S.PARTIALLY_FILLED: _WORKING,
    _S.CANCELLING: {**_WORKING, _R.OPEN: Move.STILL_OPEN, _R.NOT_SENT: Move.UNSENT},
    _S.UNKNOWN: _WORKING,
    **dict.fromkeys(sorted(TERMINAL_STATES), _NOTHING),
}

_CANCEL_ANSWER = {
    **_WORKING,
    # The venue has taken the cancel and not carried it out yet.
    _R.OPEN: Move.STAY,
    _R.REJECTED: Move.ASK,
}
CANCEL_ANSWERS: dict[OrderState, dict[ReportStatus, Move]] = {
    _S.PLANNED: _NOTHING,
    _S.SUBMITTING: _CANCEL_ANSWER,
    _S.ACKNOWLEDGED: _CANCEL_ANSWER,
    _S.PARTIALLY_FILLED: _CANCEL_ANSWER,
    _S.CANCELLING: {**_CANCEL_ANSWER, _R.NOT_SENT: Move.RESUME},
    _S.UNKNOWN: _CANCEL_ANSWER,
    **dict.fromkeys(sorted(TERMINAL_STATES), _NOTHING),
}

ENDS: dict[Move, OrderState] = {
    Move.FILL: _S.FILLED,
    Move.CANCEL: _S.CANCELLED,
    Move.EXPIRE: _S.EXPIRED,
    Move.REJECT: _S.REJECTED,
}
"""The moves that end an order, and how."""

UNSETTLED_STATES = frozenset({_S.SUBMITTING, _S.CANCELLING, _S.UNKNOWN})
"""We have asked the venue for something and do not know yet what came of it."""
