"""What a market does, whoever drives it: a seeded generator or a recording. Units as in ``units``."""

from dataclasses import dataclass

from tollgate_contracts.strategy import Side


@dataclass(frozen=True, slots=True)
class BookSnapshot:
    """The house's whole book: (price, quantity) pairs; what was there before is gone."""

    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class LevelsSet:
    """The house's quantity at some prices: (side, price, quantity); zero removes the level."""

    levels: tuple[tuple[Side, int, int], ...]


@dataclass(frozen=True, slots=True)
class TopSet:
    """The house's best bid and ask; nothing of the house stays at better prices."""

    bid: int
    bid_quantity: int
    ask: int
    ask_quantity: int


@dataclass(frozen=True, slots=True)
class TradePrinted:
    """A trade that has happened in the recorded market."""

    aggressor: Side
    price: int
    quantity: int


@dataclass(frozen=True, slots=True)
class HouseTook:
    """The house takes liquidity, whoever's it is."""

    aggressor: Side
    quantity: int


MarketEvent = BookSnapshot | LevelsSet | TopSet | TradePrinted | HouseTook
