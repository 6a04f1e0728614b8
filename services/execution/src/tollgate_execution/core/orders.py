"""The order state machine: one dict table for each way in which we hear of an order, total over state and status.

The law of this module: an order moves only by evidence. ``TABLES`` says what everything that can be said, by whoever
can say it, does to an order in each state: something is applied, or ignored because it is known or says nothing of
the state, or impossible. What is impossible is said on the tape and changes nothing. A terminal state has no way
out. The outcome of a submit that was not answered is ``UNKNOWN``, and only the venue's word leads out of that, or
an operator's.

Trades are booked whatever the state, because they have happened; the states follow them and never the reverse.
``docs/orders.md`` is drawn from these tables.
"""

from enum import Enum, unique

from tollgate_contracts.execution import TERMINAL_STATES, OrderState, ReportSource, ReportStatus


@unique
class Move(Enum):
    """What a report does to the state; the record's quantities decide the rest."""

    STAY = "stay"
    """Nothing: it is known already, or says nothing of the state. A trade with it moves the order all the same."""
    WORK = "work"
    """To ACKNOWLEDGED, or to PARTIALLY_FILLED where something traded."""
    FILL = "fill"
    """To FILLED once every trade is booked; until then it works and the missing trades are asked for."""
    CANCEL = "cancel"
    """To CANCELLED once every trade is booked."""
    EXPIRE = "expire"
    """To EXPIRED once every trade is booked."""
    REJECT = "reject"
    """To REJECTED, or to CANCELLED where something traded; a post-only order that would have taken is tried again."""
    UNSENT = "unsent"
    """To REJECTED; to UNKNOWN if it was sent before under this id; impossible once the venue has shown it."""
    DOUBT = "doubt"
    """To UNKNOWN."""
    ABSENT = "absent"
    """To EXPIRED if asked when the order could arrive no more; to UNKNOWN if the venue once had it; else nothing,
    or once more to SUBMITTING, under the same id, where its last send can arrive no more."""
    STILL_OPEN = "still_open"
    """Back to work if the cancel was refused or can arrive no more; else the cancel is still awaited."""
    RESUME = "resume"
    """Back to where it stood before the cancel, which was not sent."""
    ASK = "ask"
    """Nothing yet: the venue refused the cancel, so the order is looked up."""
    LATE = "late"
    """Nothing if it was there before its end; else it is there after all: adopted, and cancelled if it is open."""
    RESOLVE = "resolve"
    """To the end that an operator has named, once the venue was asked in vain; before that, impossible."""
    SETTLE = "settle"
    """Nothing of the state, which is final: what the venue still owes us word of is waited for no more, as RESOLVE."""
    IMPOSSIBLE = "impossible"
    """Nothing but a word on the tape: it cannot follow from the state, or not be said in this way."""


@unique
class Effect(Enum):
    """What kind of thing a move is."""

    APPLY = "apply"
    """The order moves, where its quantities and times allow it."""
    IGNORE = "ignore"
    """The state stays."""
    IMPOSSIBLE = "impossible"
    """The state stays, and the tape says that this was said."""


def effect_of(move: Move) -> Effect:
    """Say what kind of thing a move is."""
    return {Move.STAY: Effect.IGNORE, Move.IMPOSSIBLE: Effect.IMPOSSIBLE}.get(move, Effect.APPLY)


_S, _R, _F = OrderState, ReportStatus, ReportSource
Row = dict[ReportStatus, Move]
Table = dict[OrderState, Row]

_NEVER: Row = dict.fromkeys(ReportStatus, Move.IMPOSSIBLE)
_WORD: Row = {
    **_NEVER,
    _R.OPEN: Move.WORK,
    _R.TRADED: Move.STAY,
    _R.FILLED: Move.FILL,
    _R.CANCELLED: Move.CANCEL,
    _R.EXPIRED: Move.EXPIRE,
    _R.REJECTED: Move.REJECT,
}
_WORKING = (_S.ACKNOWLEDGED, _S.PARTIALLY_FILLED)
_STILL: Row = {**_WORD, _R.OPEN: Move.STILL_OPEN}
# What may be said of an order that is over: what it did before, again, or the end that is known already.
_PAST: Row = {
    **_NEVER,
    _R.OPEN: Move.LATE,
    _R.TRADED: Move.STAY,
    _R.FILLED: Move.LATE,
    _R.CANCELLED: Move.LATE,
    _R.EXPIRED: Move.LATE,
    _R.REJECTED: Move.STAY,
}
# An order that has filled in full can have no other end.
_FULL: Row = {
    **_PAST,
    _R.FILLED: Move.STAY,
    **dict.fromkeys((_R.CANCELLED, _R.EXPIRED, _R.REJECTED), Move.IMPOSSIBLE),
}


def _table(planned: Row, submitting: Row, working: Row, cancelling: Row, unknown: Row, over: Row, filled: Row) -> Table:
    return {
        _S.PLANNED: planned,
        _S.SUBMITTING: submitting,
        **dict.fromkeys(_WORKING, working),
        _S.CANCELLING: cancelling,
        _S.UNKNOWN: unknown,
        **dict.fromkeys(sorted(TERMINAL_STATES), over),
        _S.FILLED: filled,
    }


_SILENT: Row = {_R.NO_ANSWER: Move.STAY}
_UNSENT: Row = {_R.NOT_SENT: Move.UNSENT}
_NOT_SENT: Row = {_R.NOT_SENT: Move.STAY}
_SUBMIT_ANSWERS = _table(
    planned=_NEVER,
    submitting={**_WORD, **_UNSENT, _R.NO_ANSWER: Move.DOUBT},
    working={**_WORD, **_UNSENT, **_SILENT},
    cancelling={**_STILL, **_UNSENT, **_SILENT},
    unknown={**_WORD, **_SILENT},
    over={**_PAST, **_NOT_SENT, **_SILENT},
    filled={**_FULL, **_SILENT},
)
_TO_CANCEL: Row = {
    **_WORD,
    **_SILENT,
    **_NOT_SENT,
    # The venue has taken the cancel and not carried it out yet.
    _R.OPEN: Move.STAY,
    _R.REJECTED: Move.ASK,
    _R.ABSENT: Move.ABSENT,
}
# A venue knows no order to cancel that is over; refusing to says nothing against how it ended.
_NOTHING_TO_CANCEL: Row = {**_SILENT, **_NOT_SENT, _R.ABSENT: Move.STAY, _R.REJECTED: Move.STAY}
_CANCEL_ANSWERS = _table(
    planned=_NEVER,
    submitting=_TO_CANCEL,
    working=_TO_CANCEL,
    cancelling={**_TO_CANCEL, _R.NOT_SENT: Move.RESUME},
    unknown=_TO_CANCEL,
    over={**_PAST, **_NOTHING_TO_CANCEL},
    filled={**_FULL, **_NOTHING_TO_CANCEL},
)
# A venue forgets orders that are over.
_FORGOTTEN: Row = {**_SILENT, _R.ABSENT: Move.STAY}
_LOOK_UPS = _table(
    planned={**_NEVER, **_FORGOTTEN},
    submitting={**_WORD, **_SILENT, _R.ABSENT: Move.ABSENT},
    working={**_WORD, **_SILENT, _R.ABSENT: Move.ABSENT},
    cancelling={**_STILL, **_SILENT, _R.ABSENT: Move.ABSENT},
    unknown={**_WORD, **_SILENT, _R.ABSENT: Move.ABSENT},
    over={**_PAST, **_FORGOTTEN},
    filled={**_FULL, **_FORGOTTEN},
)
_FRAMES = _table(
    planned=_NEVER, submitting=_WORD, working=_WORD, cancelling=_STILL, unknown=_WORD, over=_PAST, filled=_FULL
)
_NO_ROW: Row = {**_NEVER, **_UNSENT}
_JOURNAL = _table(
    planned={**_NEVER, **_NOT_SENT},
    submitting=_NO_ROW,
    working=_NEVER,
    cancelling=_NO_ROW,
    unknown=_NEVER,
    over={**_NEVER, **_NOT_SENT},
    filled=_NEVER,
)
_NAMED_ENDS = (_R.CANCELLED, _R.EXPIRED, _R.REJECTED)
_RESOLVED: Row = {**_NEVER, **dict.fromkeys(_NAMED_ENDS, Move.RESOLVE)}
_SETTLED: Row = {**_NEVER, **dict.fromkeys(_NAMED_ENDS, Move.SETTLE)}
_OPERATOR = _table(
    planned=_NEVER,
    submitting=_RESOLVED,
    working=_RESOLVED,
    cancelling=_RESOLVED,
    unknown=_RESOLVED,
    over=_SETTLED,
    filled=_SETTLED,
)

TABLES: dict[ReportSource, Table] = {
    _F.SUBMIT: _SUBMIT_ANSWERS,
    _F.CANCEL: _CANCEL_ANSWERS,
    _F.QUERY: _LOOK_UPS,
    _F.FILLS: _FRAMES,
    _F.STREAM: _FRAMES,
    _F.JOURNAL: _JOURNAL,
    _F.OPERATOR: _OPERATOR,
}
"""What each report does, by who said it, the state of the order, and what was said."""

ENDS: dict[Move, OrderState] = {
    Move.FILL: _S.FILLED,
    Move.CANCEL: _S.CANCELLED,
    Move.EXPIRE: _S.EXPIRED,
    Move.REJECT: _S.REJECTED,
}
"""The moves by which the venue ends an order, and how."""

UNSETTLED_STATES = frozenset({_S.SUBMITTING, _S.CANCELLING, _S.UNKNOWN})
"""We have asked the venue for something and do not know yet what came of it."""
WORKING_STATES = frozenset(_WORKING)
"""The order rests at the venue, as far as we know."""
