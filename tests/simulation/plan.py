"""What happens in one run, drawn from its seed: the orders, the market, what fails and when, and the kills."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.simulation.desk import SYMBOL
from tests.simulation.network import Link
from tests.simulation.venue import VISIBILITY_US
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.strategy import Side
from tollgate_execution.settings import OnStop
from tollgate_simvenue.core.fees import IN_BASE, IN_QUOTE
from tollgate_simvenue.core.flavours import VenueLike
from tollgate_simvenue.core.market import HouseTook, MarketEvent, TopSet
from tollgate_simvenue.core.plan import (
    PRIVATE_CALLS,
    Accepts,
    CallKind,
    CancelAnswer,
    FaultPlan,
    FaultType,
    FillPart,
    Rule,
)
from tollgate_simvenue.core.units import ATOMS_PER_UNIT, UNITS, units_text

# Trading and faults go on for this long; after it the world is calm and everything must come to rest.
TRADING_US = 2_500_000
PRICE = 100 * UNITS
TICK = UNITS // 100
_MARKET_EVERY_US = 250_000
_TAPE = Link(delay_us_max=1_000, timeout_us=400_000)
_DATABASE = Link(delay_us_max=2_000, timeout_us=400_000)
NO_FAULTS = FaultPlan()
VENUE = Link(delay_us_max=5_000, timeout_us=200_000)
# Less than what lies between the venue's receive window and the time that execution gives it.
SKEW_US_MAX = 90_000


@dataclass(frozen=True, slots=True)
class Request:
    """An approval that risk gives at some time; ``fields`` are those that differ from the usual."""

    at_us: int
    number: int
    action: str
    life_us: int
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Switch:
    """The kill switch is engaged and later released."""

    at_us: int
    until_us: int
    level: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    seed: int
    requests: tuple[Request, ...]
    market: tuple[tuple[int, MarketEvent], ...]
    faults: FaultPlan = NO_FAULTS
    """What goes wrong at the venue."""
    like: VenueLike = VenueLike.TOLLGATE
    venue: Link = VENUE
    tape: Link = _TAPE
    database: Link = _DATABASE
    permit_gaps: tuple[tuple[int, int], ...] = ()
    switch: Switch | None = None
    stops: tuple[int, ...] = ()
    """Times at which the process is told to stop, as for a new version."""
    pauses: tuple[tuple[int, int], ...] = ()
    """When the active process stands still, and for how long; another one is started beside it."""
    still: tuple[int, int] | None = None
    """Before which step of processes the process stands still, as in ``pauses``, and for how long."""
    on_stop: OnStop = OnStop.LEAVE
    words: tuple[int, ...] = ()
    """Times at which an operator ends what the venue was asked about in vain."""
    door: tuple[int, int] | None = None
    """When the kill door is shut, and when it is opened again."""
    held: int = 100
    """What the account holds of the base currency at the start, in whole units."""
    busts: tuple[int, ...] = ()
    """Times at which the venue takes its newest trade back."""
    deposits: tuple[int, ...] = ()
    fee_currency: str = IN_QUOTE
    """In which the venue charges, as ``simvenue.fee_currency`` has it."""
    kills: tuple[int, ...] = ()
    """Before which steps of processes, counted from the start, the process is killed."""
    snapshot_every: int | None = None
    shuffled: bool = False
    restart_us: int = 100_000
    trading_us: int = TRADING_US
    name: str = ""
    """What ``make simulate`` is to be told to run this again."""

    @property
    def may_be_two(self) -> bool:
        """Say whether a second process is ever started beside the first."""
        return bool(self.pauses) or self.still is not None


def draw(seed: int, kills: tuple[int, ...] | None = None) -> Plan:
    """Return the plan of a seed; ``kills`` replaces the drawn ones."""
    chance = Random(seed)  # noqa: S311 - it is to be the same each time
    requests = _requests(chance)
    market = _market(chance)
    faults = _faults(chance)
    busts = tuple(_time(chance) for _ in range(chance.choice((0,) * 12 + (1, 2))))
    deposits = (_time(chance),) if chance.random() < 0.08 else ()
    is_lossy = chance.random() < 0.3
    tape = Link(1_500, lost_request=_some(chance, 15), lost_answer=_some(chance, 15), timeout_us=400_000)
    database = Link(3_000, lost_request=_some(chance, 20), lost_answer=_some(chance, 20), timeout_us=400_000)
    gaps = ((_time(chance), 1_500_000),) if chance.random() < 0.15 else ()
    switch = None
    if chance.random() < 0.15:
        at_us = _time(chance)
        level = chance.choice(("HALT", "CANCEL", "FLATTEN"))
        switch = Switch(at_us, at_us + chance.randrange(100_000, 800_000), level)
        if level == "FLATTEN":
            requests = tuple(sorted((*requests, *_closing(chance, switch)), key=lambda each: each.at_us))
    stops = (_time(chance),) if chance.random() < 0.1 else ()
    words = tuple(_time(chance) for _ in range(chance.choice((0, 0, 3))))
    shut_us = _time(chance)
    door = (shut_us, shut_us + chance.randrange(100_000, 800_000)) if chance.random() < 0.08 else None
    drawn = tuple(sorted(_kill(chance) for _ in range(chance.choice((0, 1, 1, 1, 2, 3)))))
    return Plan(
        seed=seed,
        requests=requests,
        market=market,
        faults=faults,
        like=chance.choice((VenueLike.TOLLGATE, *VenueLike)),
        venue=_venue_link(chance),
        tape=tape if is_lossy else _TAPE,
        database=database if is_lossy else _DATABASE,
        permit_gaps=gaps,
        switch=switch,
        stops=stops,
        pauses=((_time(chance), chance.randrange(50_000, 1_800_000)),) if chance.random() < 0.06 else (),
        on_stop=chance.choice(tuple(OnStop)),
        words=words,
        door=door,
        held=chance.choice((100, 100, 2, 0)),
        busts=busts,
        deposits=deposits,
        kills=drawn if kills is None else kills,
        snapshot_every=chance.choice((None, 7, 40)),
        shuffled=chance.random() < 0.7,
        restart_us=chance.randrange(5_000, 400_000),
        # The last to be drawn: whatever else is drawn from a seed stays as it was.
        fee_currency=chance.choice((IN_QUOTE, IN_QUOTE, IN_BASE, SYMBOL.split("-")[0])),
        name=f"SEED={seed}" if kills is None else f"SEED={seed} KILL={','.join(map(str, kills))}",
    )


def _venue_link(chance: Random) -> Link:
    is_bad = chance.random() < 0.3
    return Link(
        delay_us_max=chance.choice((2_000, 8_000, 60_000)),
        lost_request=_some(chance, 300) if is_bad else 0,
        lost_answer=_some(chance, 400) if is_bad else 0,
        slow=_some(chance, 300) if is_bad else 0,
        slow_us_max=700_000,
        timeout_us=200_000,
    )


def _time(chance: Random) -> int:
    return chance.randrange(50_000, TRADING_US)


def _kill(chance: Random) -> int:
    # Recovery is short and worth as much as the rest.
    return chance.randrange(1, 80) if chance.random() < 0.15 else chance.randrange(1, 900)


def _some(chance: Random, in_a_thousand_max: int) -> int:
    return chance.randrange(in_a_thousand_max)


def _requests(chance: Random) -> tuple[Request, ...]:
    requests: list[Request] = []
    count = chance.choice((1, 2, 2, 3, 3, 4, 5))
    for number in range(1, count + 1):
        at_us = chance.randrange(80_000, TRADING_US * 3 // 4)
        fields = _order(chance)
        if chance.random() < 0.15:
            fields["good_for_us"] = chance.randrange(1_600_000, 2_200_000)
        if number > 1 and chance.random() < 0.25:
            fields["replaces_number"] = chance.randrange(1, number)
        requests.append(Request(at_us, number, "SUBMIT", _life(chance), fields))
        if chance.random() < 0.35:
            later_us = at_us + chance.randrange(1_000, 700_000)
            requests.append(Request(later_us, number, "CANCEL", _life(chance), {}))
        if chance.random() < 0.05:
            # Risk says the same again: another decision with the same signed text.
            requests.append(Request(at_us + chance.randrange(1, 300_000), number, "AGAIN", 0, {}))
    return tuple(sorted(requests, key=lambda each: each.at_us))


def _closing(chance: Random, switch: Switch) -> tuple[Request, ...]:
    """Draw orders by which risk closes positions while the switch is engaged."""
    fields = {"scope": "FLATTEN", "side": "SELL", "reduce_only": True, "time_in_force": "IOC"}
    orders = []
    for number in range(6, 6 + chance.randrange(3)):
        quantity, price = chance.randrange(1, 40) * UNITS // 10, PRICE - chance.randrange(100) * TICK
        at_us = switch.at_us + chance.randrange(1, 300_000)
        terms = {"quantity": units_text(quantity), "limit_price": units_text(price)}
        orders.append(Request(at_us, number, "CLOSE", _life(chance), {**fields, **terms}))
    return tuple(orders)


def _life(chance: Random) -> int:
    return chance.randrange(300_000, 1_500_000)


def _order(chance: Random) -> dict[str, Any]:
    side = chance.choice((Side.BUY, Side.SELL))
    kind = chance.random()
    ticks = chance.randrange(-60, 30) if kind < 0.6 else chance.randrange(0, 60)
    price = PRICE + ticks * TICK * (1 if side is Side.BUY else -1)
    post_only = kind < 0.2
    time_in_force = "IOC" if kind > 0.7 else "FOK" if kind > 0.66 else "GTC"
    protection = None
    if side is Side.BUY and chance.random() < 0.3:
        trigger = price - chance.randrange(10, 60) * TICK
        protection = {"trigger_price": units_text(trigger), "limit_price": units_text(trigger - 40 * TICK)}
    return {
        "protection": protection,
        "side": side.value,
        "quantity": units_text(chance.randrange(1, 40) * UNITS // 10),
        "limit_price": units_text(price),
        "time_in_force": time_in_force,
        "post_only": post_only,
    }


def _market(chance: Random) -> tuple[tuple[int, MarketEvent], ...]:
    moves: list[tuple[int, MarketEvent]] = [(0, _top(chance, 0))]
    ticks = 0
    at_us = chance.randrange(_MARKET_EVERY_US)
    while at_us < TRADING_US:
        if chance.random() < 0.5:
            side = chance.choice((Side.BUY, Side.SELL))
            moves.append((at_us, HouseTook(side, chance.randrange(1, 60) * UNITS // 10)))
        else:
            ticks += chance.randrange(-25, 26)
            moves.append((at_us, _top(chance, ticks)))
        at_us += chance.randrange(1, 2 * _MARKET_EVERY_US)
    return tuple(moves)


def _top(chance: Random, ticks: int) -> TopSet:
    middle = PRICE + ticks * TICK
    spread = chance.randrange(1, 6) * TICK
    quantities = [chance.randrange(1, 50) * UNITS // 10 for _ in range(2)]
    return TopSet(middle - spread, quantities[0], middle + spread, quantities[1])


def _faults(chance: Random) -> FaultPlan:
    """Draw some of the faults, each strong: many weak ones at once show less than one or two strong ones."""
    rules = tuple(rule(chance) for rule in _RULES if chance.random() < 0.13)
    return FaultPlan(rules, chance.randrange(1, 1 << 32))


def _often(chance: Random) -> int:
    return chance.randrange(50_000, 600_000)


def _span(chance: Random, after_us: int = 0) -> dict[str, int]:
    return {"after_us": max(_time(chance), after_us), "for_us": chance.randrange(50_000, 1_000_000)}


def _calls(chance: Random) -> tuple[CallKind, ...]:
    return chance.choice(((CallKind.PLACE,), (CallKind.PLACE, CallKind.CANCEL, CallKind.QUERY), PRIVATE_CALLS))


_RULES: tuple[Callable[[Random], Rule], ...] = (
    lambda chance: Rule(FaultType.ACCEPT_THEN_TIMEOUT, per_million=_often(chance), calls=_calls(chance)),
    lambda chance: Rule(FaultType.ACCEPT_THEN_DROP, per_million=_often(chance), calls=_calls(chance)),
    lambda chance: Rule(
        FaultType.RATE_LIMIT, per_million=_often(chance), calls=_calls(chance), retry_after_s=chance.choice((None, 1))
    ),
    lambda chance: Rule(FaultType.RATE_LIMIT_STORM, **_span(chance), calls_max=5, ban_us=chance.randrange(800_000)),
    lambda chance: Rule(
        FaultType.SERVER_ERROR, per_million=_often(chance), calls=_calls(chance), accepts=chance.choice(tuple(Accepts))
    ),
    lambda _chance: Rule(FaultType.ACCEPT_THEN_TIMEOUT, calls=(CallKind.QUERY, CallKind.ORDERS)),
    lambda chance: Rule(FaultType.LATE_VISIBILITY, late_us=chance.randrange(1, VISIBILITY_US)),
    lambda chance: Rule(
        FaultType.CANCEL_THEN_FILL,
        late_us=chance.randrange(1, 200_000),
        cancel_answer=chance.choice(tuple(CancelAnswer)),
        fills=chance.choice(tuple(FillPart)),
    ),
    lambda chance: Rule(FaultType.DUPLICATE_FRAMES, per_million=_often(chance)),
    lambda chance: Rule(FaultType.REORDER_FRAMES, per_million=_often(chance), late_us=chance.randrange(1, 300_000)),
    lambda chance: Rule(FaultType.DELAY_FRAMES, per_million=_often(chance), late_us=chance.randrange(1, 900_000)),
    lambda chance: Rule(FaultType.DROP_FRAMES, per_million=_often(chance)),
    lambda chance: Rule(FaultType.SEQUENCE_GAP, per_million=_often(chance)),
    lambda chance: Rule(FaultType.SILENT_STREAM, **_span(chance)),
    lambda chance: Rule(FaultType.CLOCK_SKEW, **_span(chance), skew_us=chance.randrange(-SKEW_US_MAX, SKEW_US_MAX)),
    lambda chance: Rule(
        FaultType.INSTRUMENT_STATUS, **_span(chance), status=chance.choice(tuple(InstrumentStatus)[1:])
    ),
    lambda chance: Rule(FaultType.MAINTENANCE, **_span(chance)),
    lambda chance: Rule(
        FaultType.WRONG_BALANCES, **_span(chance, 600_000), currency="USDT", amount=UNITS * ATOMS_PER_UNIT
    ),
)
