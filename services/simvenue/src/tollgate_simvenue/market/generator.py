"""A market made of nothing but a seed: which event comes next never depends on the clock.

Each symbol's price walks through *stretches*: trends up, trends down, and ranges in which it is drawn back to
where the range began. Every event changes the best bid or ask of one symbol; one in some is a trade of the house.
Time inside is nominal: an event is one over the rate of all of them, so that stretches last as long on the clock
at any rate. Prices are kept at a thousandth of a unit; rates are in millionths of a basis point.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import isqrt

from tollgate_contracts.strategy import Side
from tollgate_simvenue.core.market import HouseTook, LevelsSet, MarketEvent
from tollgate_simvenue.core.model import Instrument
from tollgate_simvenue.market.splitmix import SplitMix

_ONE = 10_000 * 10**6
_FINE = 1_000
_SECOND_US = 1_000_000
# In a range, the share of the distance to its centre by which the price is drawn back each second: one fifth.
_PULL_PER_S = 5
# A generated price stays within a factor of sixteen of its start, so that it never reaches the tick or overflows.
_WANDER = 16


@dataclass(frozen=True, slots=True)
class GeneratorRules:
    """How generated markets move; rates in millionths of a basis point, ``top_notional`` in atoms."""

    stretch_us: int
    drift_rate_per_s: int
    noise_rate: int
    spread_rate: int
    levels: int
    spacing_rate: int
    top_notional: int
    trade_every: int


class Regime(StrEnum):
    """What a stretch is."""

    UP = "UP"
    DOWN = "DOWN"
    RANGE = "RANGE"


_REGIMES = (Regime.UP, Regime.RANGE, Regime.DOWN, Regime.RANGE)


class _Walk:
    """One symbol's price and the ladder of levels around it."""

    def __init__(self, instrument: Instrument, start: int, rules: GeneratorRules, random: SplitMix, step_us: int):
        self._instrument = instrument
        self._rules = rules
        self._random = random
        self._step_us = step_us
        # The deviation of one step: that of a second, times the square root of the step's share in it.
        self._noise_rate = rules.noise_rate * isqrt(step_us * _SECOND_US) // _SECOND_US
        self._price = start * _FINE
        self._low, self._high = self._price // _WANDER, self._price * _WANDER
        self._centre = self._price
        self._regime = Regime.RANGE
        self._stretch_left_us = 0
        self._standing: dict[tuple[Side, int], int] = {}

    def next(self) -> MarketEvent:
        """Return the symbol's next event."""
        self._advance()
        if self._standing and self._random.below(self._rules.trade_every) == 0:
            return self._trade()
        return self._quote()

    def _advance(self) -> None:
        self._stretch_left_us -= self._step_us
        if self._stretch_left_us <= 0:
            self._regime = _REGIMES[self._random.below(len(_REGIMES))]
            self._stretch_left_us = self._random.between(self._rules.stretch_us // 2, self._rules.stretch_us * 3 // 2)
            self._centre = self._price
        noise = self._random.bell(self._price * self._noise_rate // _ONE)
        price = self._price + noise + self._drift()
        self._price = min(max(price, self._low), self._high)

    def _drift(self) -> int:
        if self._regime is Regime.RANGE:
            return (self._centre - self._price) * self._step_us // (_PULL_PER_S * _SECOND_US)
        drift = self._price * self._rules.drift_rate_per_s // _ONE * self._step_us // _SECOND_US
        return drift if self._regime is Regime.UP else -drift

    def _trade(self) -> MarketEvent:
        """Take a part of the best level, more often with the trend than against it."""
        side = {Regime.UP: Side.BUY, Regime.DOWN: Side.SELL}.get(self._regime)
        if side is None or self._random.below(4) == 0:
            side = Side.BUY if self._random.below(2) else Side.SELL
        return HouseTook(side, self._on_step(self._quantity() // 10))

    def _quote(self) -> MarketEvent:
        ladder = self._ladder()
        changes = [(side, price, 0) for side, price in self._standing if (side, price) not in ladder]
        changes += [(*place, quantity) for place, quantity in ladder.items() if self._standing.get(place) != quantity]
        self._standing = ladder
        return LevelsSet(tuple(changes))

    def _ladder(self) -> dict[tuple[Side, int], int]:
        """Return the levels that should stand: the best follows the price, the others lie on a fixed grid."""
        tick = self._instrument.tick
        half_spread = self._price * self._rules.spread_rate // (2 * _ONE)
        bid = max((self._price - half_spread) // (_FINE * tick), 1) * tick
        ask = max(-(-(self._price + half_spread) // (_FINE * tick)) * tick, bid + tick)
        spacing = self._spacing()
        ladder = {(Side.BUY, bid): self._quantity(), (Side.SELL, ask): self._quantity()}
        below, above = (bid - 1) // spacing * spacing, -(-(ask + 1) // spacing) * spacing
        for number in range(1, self._rules.levels):
            for place in ((Side.BUY, below - (number - 1) * spacing), (Side.SELL, above + (number - 1) * spacing)):
                if place[1] > 0:
                    ladder[place] = self._standing.get(place) or self._quantity() * (number + 1)
        # One level of all is stated anew each time: what somebody has taken from it comes back sooner or later.
        refreshed = list(ladder)[self._random.below(len(ladder))]
        ladder[refreshed] = self._quantity() * self._random.between(1, self._rules.levels)
        return ladder

    def _spacing(self) -> int:
        """Return the grid's spacing: fixed over a factor of two of the price, so that the grid stays put."""
        exact = self._price // _FINE * self._rules.spacing_rate // _ONE
        ticks = max(exact // self._instrument.tick, 1)
        return (1 << (ticks.bit_length() - 1)) * self._instrument.tick

    def _quantity(self) -> int:
        """Return a quantity of half to one and a half times the notional of the top, on the step."""
        exact = self._rules.top_notional * _FINE // self._price * self._random.between(500, 1_500) // 1_000
        return self._on_step(exact)

    def _on_step(self, exact: int) -> int:
        return max(exact // self._instrument.step, 1) * self._instrument.step


def generate(
    instruments: list[Instrument],
    start_prices: dict[str, int],
    rules: dict[str, GeneratorRules],
    seed: int,
    quotes_per_s: int,
) -> Iterator[tuple[str, MarketEvent]]:
    """Yield (symbol, event) for ever, the symbols in turn; ``quotes_per_s`` is the rate of all of them together."""
    step_us = len(instruments) * _SECOND_US // quotes_per_s
    walks = []
    for number, instrument in enumerate(instruments):
        symbol = instrument.symbol
        walk = _Walk(instrument, start_prices[symbol], rules[symbol], _own(seed, number), step_us)
        walks.append((symbol, walk))
    while True:
        for symbol, walk in walks:
            yield symbol, walk.next()


def _own(seed: int, number: int) -> SplitMix:
    """Return the sequence of one symbol, so that one symbol's draws do not shift another's."""
    return SplitMix(SplitMix(seed * 1_000_003 + number).bits())
