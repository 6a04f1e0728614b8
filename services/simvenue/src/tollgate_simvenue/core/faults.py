"""Which fault happens to which call and which frame: the plan's rules, counted and drawn by seed.

The law of this module: pure. Given what is asked or said and the time, it returns what to do; somebody else does it:
the process over HTTP and WebSocket, or a simulation within one process and with a time of its own. The same plan
with the same seed and the same questions gives the same answers. All times here are true ones, whatever the venue's
clock says.
"""

from dataclasses import dataclass

from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_simvenue.core.model import (
    CandleClosed,
    Event,
    InstrumentChanged,
    MoneyMoved,
    OrderBusted,
    OrderChanged,
    OrderFilled,
    PublicTrade,
    QuoteChanged,
    Refusal,
    Refused,
)
from tollgate_simvenue.core.plan import (
    PER_MILLION,
    Accepts,
    CallKind,
    CancelAnswer,
    FaultPlan,
    FaultType,
    FillPart,
    FrameKind,
    Rule,
    Stream,
)
from tollgate_simvenue.market.splitmix import SplitMix

# Orders that are hidden at the same time; with more, the oldest shows itself early.
HIDDEN_ORDERS_MAX = 10_000
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class CancelTrick:
    """What happens to a cancel beside its answer."""

    answer: CancelAnswer
    fills: FillPart
    late_us: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a call."""

    refused: Refused | None = None
    """The answer; null is the true one, where there is any."""
    acts: bool = True
    """Whether the call is carried out."""
    silent: bool = False
    """Whether it is never answered."""
    drops: bool = False
    """Whether the connection is closed instead of an answer."""
    retry_after_s: int | None = None
    hidden_us: int = 0
    """How long an order that is placed cannot be seen."""
    cancel_trick: CancelTrick | None = None


NO_FAULT = Verdict()


@dataclass(frozen=True, slots=True)
class FrameVerdict:
    """What to do with a frame."""

    delays_us: tuple[int, ...] = (0,)
    """When it is sent, from now: several times, later, or never where it is empty."""
    skips_number: bool = False
    """Whether its number is used up though it is not sent."""
    after_next: bool = False
    """Whether it lets the next frame of its stream go before it, for at most its delay."""


AS_IT_IS = FrameVerdict()


@dataclass(frozen=True, slots=True)
class SetStatus:
    """An instrument's status is to be changed."""

    symbol: str
    status: InstrumentStatus


@dataclass(frozen=True, slots=True)
class CloseStreams:
    """Every stream is to be closed."""


Action = SetStatus | CloseStreams


class _State:
    """One rule with its counts and its own numbers, so that rules do not disturb each other."""

    def __init__(self, rule: Rule, seed: int) -> None:
        self.rule = rule
        self.seen = 0
        """Calls or frames that the rule is about."""
        self.happened = 0
        self.storm_calls = 0
        self.was_on = False
        self._chance = SplitMix(seed)
        self._parity = self._chance.below(2)

    def happens(self, symbol: str | None, since_start_us: int) -> bool:
        """Count one call or frame of the rule's kinds, and say whether the fault happens to it."""
        rule = self.rule
        if not rule.is_on(since_start_us) or (rule.symbol is not None and rule.symbol != symbol):
            return False
        self.seen += 1
        if self.seen < rule.first or (rule.last is not None and self.seen > rule.last):
            return False
        if rule.per_million is not None and self._chance.below(PER_MILLION) >= rule.per_million:
            return False
        self.happened += 1
        return True

    def accepts(self) -> bool:
        """Say whether a call that is answered with an error is carried out."""
        if self.rule.accepts is Accepts.HALF:
            return (self.happened + self._parity) % 2 == 0
        return self.rule.accepts is Accepts.ALL


class Faults:
    """A plan in force since ``started_us``."""

    def __init__(self, plan: FaultPlan, started_us: int, symbols: tuple[str, ...]) -> None:
        seeds = SplitMix(plan.seed)
        self.plan = plan
        self.started_us = started_us
        self.banned_until_us = 0
        self._states = [_State(rule, seeds.bits()) for rule in plan.rules]
        self._hidden: dict[str, int] = {}
        self._symbols = symbols
        self._statuses: dict[str, InstrumentStatus] = {}

    def counts(self) -> list[tuple[int, int]]:
        """Return (seen, happened) of each rule, in the plan's order."""
        return [(state.seen, state.happened) for state in self._states]

    def call(self, kind: CallKind, symbol: str | None, now_us: int) -> Verdict:
        """Return what to do with a call; the first rule that says something decides, and counts it alone.

        Hiding an order goes together with any other fault, and is counted for itself.
        """
        if now_us < self.banned_until_us and kind is not CallKind.PUBLIC:
            return self._ban(now_us)
        down = self._on(FaultType.MAINTENANCE, now_us)
        if down:
            down[0].seen += 1
            down[0].happened += 1
            return _down(down[0].rule)
        verdict, hidden_us = NO_FAULT, 0
        for state in self._states:
            hides = state.rule.fault is FaultType.LATE_VISIBILITY
            if kind not in state.rule.of_calls or (verdict is not NO_FAULT and not hides):
                continue
            if state.happens(symbol, now_us - self.started_us):
                if hides:
                    hidden_us = max(hidden_us, state.rule.late_us or 0)
                else:
                    verdict = self._verdict(state, now_us)
        return verdict if not hidden_us or not verdict.acts else _hiding(verdict, hidden_us)

    def frame(self, kind: FrameKind, symbol: str | None, client_order_id: str | None, now_us: int) -> FrameVerdict:
        """Return what to do with a frame; the first rule that says something decides."""
        if self.is_silent(Stream.MARKET if kind in _MARKET_FRAMES else Stream.USER, now_us):
            return FrameVerdict(())
        hidden_us = max(self._hidden.get(client_order_id or "", 0) - now_us, 0)
        if hidden_us:
            return FrameVerdict((hidden_us,))
        for state in self._states:
            if kind in state.rule.of_frames and state.happens(symbol, now_us - self.started_us):
                return _frame_verdict(state.rule)
        return AS_IT_IS

    def hide(self, client_order_id: str, until_us: int) -> None:
        """Keep an order, which may not be there yet, from being seen until then."""
        self._hidden.pop(client_order_id, None)
        self._hidden[client_order_id] = until_us
        if len(self._hidden) > HIDDEN_ORDERS_MAX:
            del self._hidden[next(iter(self._hidden))]

    def hides(self, client_order_id: str, now_us: int) -> bool:
        """Say whether an order cannot be seen."""
        return self._hidden.get(client_order_id, 0) > now_us

    def is_silent(self, stream: Stream, now_us: int) -> bool:
        """Say whether a stream sends nothing, heartbeats included."""
        return any(state.rule.stream in {None, stream} for state in self._on(FaultType.SILENT_STREAM, now_us))

    def refuses_streams(self, now_us: int) -> Verdict | None:
        """Return why no stream can be opened now, or null."""
        if now_us < self.banned_until_us:
            return self._ban(now_us)
        down = self._on(FaultType.MAINTENANCE, now_us)
        return _down(down[0].rule) if down else None

    def skew_us(self, now_us: int) -> int:
        """Return how far the venue's clock is ahead."""
        return sum(state.rule.skew_us or 0 for state in self._on(FaultType.CLOCK_SKEW, now_us))

    def balance_offsets(self, now_us: int) -> dict[str, int]:
        """Return by how many atoms the account is misstated, by currency."""
        offsets: dict[str, int] = {}
        for state in self._on(FaultType.WRONG_BALANCES, now_us):
            currency = state.rule.currency or ""
            offsets[currency] = offsets.get(currency, 0) + (state.rule.amount or 0)
        return offsets

    def advance(self, now_us: int) -> list[Action]:
        """Return what has begun or is over by now, each once: to be called when ``next_due_us`` has come."""
        actions: list[Action] = []
        for state in self._states:
            is_on = state.rule.is_on(now_us - self.started_us)
            if is_on and not state.was_on and state.rule.fault is FaultType.MAINTENANCE:
                actions.append(CloseStreams())
            state.was_on = is_on
        on = [state.rule for state in self._on(FaultType.INSTRUMENT_STATUS, now_us)]
        return [*actions, *self._set_statuses(on)]

    def withdraw(self) -> list[Action]:
        """Return what is over when the plan ends now."""
        return [*self._set_statuses([])]

    def next_due_us(self, now_us: int) -> int | None:
        """Return when ``advance`` has something to do next, or null."""
        edges = [
            self.started_us + edge_us
            for rule in self.plan.rules
            for edge_us in (rule.after_us, None if rule.for_us is None else rule.after_us + rule.for_us)
            if edge_us is not None
        ]
        return min((edge_us for edge_us in edges if edge_us > now_us), default=None)

    def _set_statuses(self, rules: list[Rule]) -> list[SetStatus]:
        """Return what the rules that are on, the last one first, and their ends mean for each symbol."""
        changes: list[SetStatus] = []
        for symbol in self._symbols:
            wanted = [rule.status for rule in rules if rule.symbol in {None, symbol} and rule.status is not None]
            status = wanted[-1] if wanted else InstrumentStatus.OPEN
            if self._statuses.get(symbol, InstrumentStatus.OPEN) is not status:
                self._statuses[symbol] = status
                changes.append(SetStatus(symbol, status))
        return changes

    def _on(self, fault: FaultType, now_us: int) -> list[_State]:
        since_us = now_us - self.started_us
        return [state for state in self._states if state.rule.fault is fault and state.rule.is_on(since_us)]

    def _ban(self, now_us: int) -> Verdict:
        # Rounded up: who comes back after this long is served.
        return _refusal(
            Refusal.BANNED, "banned for sending too much", -(-(self.banned_until_us - now_us) // _SECOND_US)
        )

    def _verdict(self, state: _State, now_us: int) -> Verdict:
        rule = state.rule
        match rule.fault:
            case FaultType.ACCEPT_THEN_TIMEOUT:
                return Verdict(silent=True)
            case FaultType.ACCEPT_THEN_DROP:
                return Verdict(drops=True)
            case FaultType.SERVER_ERROR:
                refused = Refused(Refusal.SERVER_ERROR, "something went wrong here")
                return Verdict(refused, acts=state.accepts())
            case FaultType.CANCEL_THEN_FILL if rule.cancel_answer is not None and rule.fills is not None:
                return Verdict(cancel_trick=CancelTrick(rule.cancel_answer, rule.fills, rule.late_us or 0))
            case FaultType.RATE_LIMIT_STORM:
                state.storm_calls += 1
                if state.storm_calls > (rule.calls_max or 0):
                    state.storm_calls = 0
                    self.banned_until_us = now_us + (rule.ban_us or 0)
                    return self._ban(now_us)
        return _refusal(Refusal.RATE_LIMITED, "too many calls", rule.retry_after_s)


_MARKET_FRAMES = frozenset(kind for kind in FrameKind if kind.value.startswith(Stream.MARKET.value))


def frame_kind(event: Event) -> tuple[FrameKind, str | None, str | None]:
    """Return of which kind an event's frame is, its symbol, and the client order id where it is about an order."""
    match event:
        case OrderChanged(order=order):
            return FrameKind.USER_ORDER, order.request.symbol, order.request.client_order_id
        case OrderFilled(order=order):
            return FrameKind.USER_TRADE, order.request.symbol, order.request.client_order_id
        case OrderBusted(order=order):
            return FrameKind.USER_BUST, order.request.symbol, order.request.client_order_id
        case MoneyMoved(movement):
            return FrameKind.USER_MOVEMENT, movement.symbol, None
        case QuoteChanged(symbol=symbol):
            return FrameKind.MARKET_QUOTE, symbol, None
        case PublicTrade(symbol=symbol):
            return FrameKind.MARKET_TRADE, symbol, None
        case CandleClosed(candle):
            return FrameKind.MARKET_CANDLE, candle.symbol, None
        case InstrumentChanged(instrument):
            return FrameKind.MARKET_INSTRUMENTS, instrument.symbol, None


def part_of(rest: int, step: int, part: FillPart) -> int:
    """Return how much of an order's ``rest`` trades, in units."""
    return rest if part is FillPart.ALL else min(max(rest // 2 // step * step, step), rest)


def _refusal(code: Refusal, message: str, retry_after_s: int | None) -> Verdict:
    return Verdict(Refused(code, message), acts=False, retry_after_s=retry_after_s)


def _down(rule: Rule) -> Verdict:
    return _refusal(Refusal.MAINTENANCE, "closed for maintenance", rule.retry_after_s)


def _hiding(verdict: Verdict, hidden_us: int) -> Verdict:
    return Verdict(verdict.refused, silent=verdict.silent, drops=verdict.drops, hidden_us=hidden_us)


def _frame_verdict(rule: Rule) -> FrameVerdict:
    late_us = rule.late_us or 0
    match rule.fault:
        case FaultType.DUPLICATE_FRAMES:
            return FrameVerdict((0, 0))
        case FaultType.DELAY_FRAMES:
            return FrameVerdict((late_us,))
        case FaultType.REORDER_FRAMES:
            return FrameVerdict((late_us,), after_next=True)
        case FaultType.SEQUENCE_GAP:
            return FrameVerdict((), skips_number=True)
    return FrameVerdict(())
