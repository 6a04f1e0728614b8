"""The fault plan: what goes wrong, when, and for which calls and frames. Values only; ``faults`` decides by them.

A rule says *when*: during a span after the plan was put in force, for some kinds of calls or frames, in one symbol,
from the nth to the mth of them, or with a probability; and *what*, with the numbers that this fault needs.
"""

from dataclasses import dataclass, fields
from enum import StrEnum

from tollgate_contracts.marketdata import InstrumentStatus

PER_MILLION = 1_000_000


class FaultType(StrEnum):
    """What goes wrong."""

    # Of calls.
    ACCEPT_THEN_TIMEOUT = "accept_then_timeout"
    """The call is carried out, and never answered."""
    ACCEPT_THEN_DROP = "accept_then_drop"
    """The call is carried out, and the connection closed without an answer."""
    RATE_LIMIT = "rate_limit"
    """429, and nothing is done."""
    RATE_LIMIT_STORM = "rate_limit_storm"
    """429 for every call; more than ``calls_max`` of them lead to a ban: 418 for ``ban_us``."""
    SERVER_ERROR = "server_error"
    """500, with none, all or half of the calls carried out."""
    LATE_VISIBILITY = "late_visibility"
    """An order is placed and answered, but look-ups, lists and streams do not know it for ``late_us``."""
    CANCEL_THEN_FILL = "cancel_then_fill"
    """A cancel is answered as taken or as done, and a fill arrives ``late_us`` later."""
    # Of frames.
    DUPLICATE_FRAMES = "duplicate_frames"
    REORDER_FRAMES = "reorder_frames"
    """A frame comes after the next one of its stream, or after ``late_us`` where none comes."""
    DELAY_FRAMES = "delay_frames"
    DROP_FRAMES = "drop_frames"
    """A frame is never sent; the numbers of those that are sent have no gap, and heartbeats go on."""
    SEQUENCE_GAP = "sequence_gap"
    """A frame is never sent, and its number is missing."""
    # Of everything, for a span.
    SILENT_STREAM = "silent_stream"
    """Nothing is sent, not even heartbeats, and the connection stays open."""
    CLOCK_SKEW = "clock_skew"
    """The venue's clock is off by ``skew_us``: what it says of time, and the window for signatures."""
    INSTRUMENT_STATUS = "instrument_status"
    """Instruments are cancel-only, in auction or halted, and open again afterwards."""
    MAINTENANCE = "maintenance"
    """503 for every call; streams are closed. Matching goes on."""
    WRONG_BALANCES = "wrong_balances"
    """The account states ``amount`` more of ``currency`` than it has, or less."""


class CallKind(StrEnum):
    """What is asked of the exchange."""

    PLACE = "place"
    CANCEL = "cancel"
    QUERY = "query"
    ORDERS = "orders"
    """Open orders, and orders that changed lately."""
    FILLS = "fills"
    MOVEMENTS = "movements"
    ACCOUNT = "account"
    PUBLIC = "public"
    """Every public question."""


class FrameKind(StrEnum):
    """What is said on a stream: the first word is the stream's."""

    USER_ORDER = "user_order"
    USER_TRADE = "user_trade"
    USER_BUST = "user_bust"
    USER_MOVEMENT = "user_movement"
    MARKET_QUOTE = "market_quote"
    MARKET_TRADE = "market_trade"
    MARKET_CANDLE = "market_candle"
    MARKET_INSTRUMENTS = "market_instruments"


class Stream(StrEnum):
    """Which of the two streams."""

    USER = "user"
    MARKET = "market"


class Accepts(StrEnum):
    """Which of the calls that are answered with an error are carried out all the same."""

    NONE = "none"
    ALL = "all"
    HALF = "half"
    """Every second one; the seed says which of the first two."""


class CancelAnswer(StrEnum):
    """What a cancel is answered with before the fill arrives."""

    TAKEN = "taken"
    """The order, still open; it is cancelled when the fill has come."""
    DONE = "done"
    """The order as cancelled; that a part of it had traded is said later."""


class FillPart(StrEnum):
    """How much of the rest of an order trades."""

    HALF = "half"
    """Rounded to the step, and at least one step."""
    ALL = "all"


PRIVATE_CALLS = tuple(kind for kind in CallKind if kind is not CallKind.PUBLIC)
ORDER_FRAMES = (FrameKind.USER_ORDER, FrameKind.USER_TRADE)
_CALLS_OF = {
    FaultType.ACCEPT_THEN_TIMEOUT: (CallKind.PLACE,),
    FaultType.ACCEPT_THEN_DROP: (CallKind.PLACE,),
    FaultType.RATE_LIMIT: PRIVATE_CALLS,
    FaultType.RATE_LIMIT_STORM: PRIVATE_CALLS,
    FaultType.SERVER_ERROR: (CallKind.PLACE,),
    FaultType.LATE_VISIBILITY: (CallKind.PLACE,),
    FaultType.CANCEL_THEN_FILL: (CallKind.CANCEL,),
}
_FRAMES_OF = dict.fromkeys(
    (
        FaultType.DUPLICATE_FRAMES,
        FaultType.REORDER_FRAMES,
        FaultType.DELAY_FRAMES,
        FaultType.DROP_FRAMES,
        FaultType.SEQUENCE_GAP,
    ),
    ORDER_FRAMES,
)
# Faults of one kind of call and no other.
_FIXED_CALLS = frozenset({FaultType.LATE_VISIBILITY, FaultType.CANCEL_THEN_FILL})
_NEEDS: dict[FaultType, frozenset[str]] = {
    FaultType.RATE_LIMIT_STORM: frozenset({"calls_max", "ban_us"}),
    FaultType.SERVER_ERROR: frozenset({"accepts"}),
    FaultType.LATE_VISIBILITY: frozenset({"late_us"}),
    FaultType.CANCEL_THEN_FILL: frozenset({"late_us", "cancel_answer", "fills"}),
    FaultType.REORDER_FRAMES: frozenset({"late_us"}),
    FaultType.DELAY_FRAMES: frozenset({"late_us"}),
    FaultType.CLOCK_SKEW: frozenset({"skew_us"}),
    FaultType.INSTRUMENT_STATUS: frozenset({"status"}),
    FaultType.WRONG_BALANCES: frozenset({"currency", "amount"}),
}
_MAY_HAVE: dict[FaultType, frozenset[str]] = {
    FaultType.RATE_LIMIT: frozenset({"retry_after_s"}),
    FaultType.RATE_LIMIT_STORM: frozenset({"retry_after_s"}),
    FaultType.MAINTENANCE: frozenset({"retry_after_s"}),
    FaultType.SILENT_STREAM: frozenset({"stream"}),
    FaultType.INSTRUMENT_STATUS: frozenset({"symbol"}),
}
_WHICH = frozenset({"symbol", "first", "last", "per_million"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault and when it happens; numbers that a fault does not have are null."""

    fault: FaultType
    after_us: int = 0
    """From when on, after the plan was put in force."""
    for_us: int | None = None
    """How long; null is for ever."""
    calls: tuple[CallKind, ...] = ()
    """Empty for those that the fault usually concerns."""
    frames: tuple[FrameKind, ...] = ()
    """Empty for orders and trades of the account."""
    symbol: str | None = None
    first: int = 1
    """The first call or frame, of those that the rule is about, that it happens to."""
    last: int | None = None
    """The last one; null for no end."""
    per_million: int | None = None
    """How likely it is from the first to the last; null is always."""
    retry_after_s: int | None = None
    calls_max: int | None = None
    ban_us: int | None = None
    accepts: Accepts | None = None
    late_us: int | None = None
    cancel_answer: CancelAnswer | None = None
    fills: FillPart | None = None
    stream: Stream | None = None
    """Null is both."""
    skew_us: int | None = None
    status: InstrumentStatus | None = None
    currency: str | None = None
    amount: int | None = None
    """In atoms."""

    @property
    def of_calls(self) -> tuple[CallKind, ...]:
        """Return the kinds of calls that the rule is about."""
        return self.calls or _CALLS_OF.get(self.fault, ())

    @property
    def of_frames(self) -> tuple[FrameKind, ...]:
        """Return the kinds of frames that the rule is about."""
        return self.frames or _FRAMES_OF.get(self.fault, ())

    def is_on(self, since_start_us: int) -> bool:
        """Say whether the rule's span includes this time after the plan's start."""
        elapsed_us = since_start_us - self.after_us
        return elapsed_us >= 0 and (self.for_us is None or elapsed_us < self.for_us)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Everything that goes wrong, and the seed of what is left to chance."""

    rules: tuple[Rule, ...] = ()
    seed: int = 1


def problem(rule: Rule) -> str | None:
    """Return what is wrong with a rule, or null: a number that is missing, or one that would change nothing."""
    needed = _NEEDS.get(rule.fault, frozenset())
    allowed = needed | _MAY_HAVE.get(rule.fault, frozenset()) | {"fault", "after_us", "for_us"}
    if rule.fault in _CALLS_OF:
        allowed |= _WHICH | (frozenset() if rule.fault in _FIXED_CALLS else {"calls"})
    if rule.fault in _FRAMES_OF:
        allowed |= _WHICH | {"frames"}
    given = [each.name for each in fields(rule) if getattr(rule, each.name) != each.default]
    missing = sorted(name for name in needed if getattr(rule, name) is None)
    useless = [name for name in given if name not in allowed]
    if missing:
        return f"{rule.fault} needs {', '.join(missing)}"
    if useless:
        return f"{rule.fault} has no use for {', '.join(useless)}"
    if rule.last is not None and rule.last < rule.first:
        return f"last {rule.last} is before first {rule.first}"
    return None
