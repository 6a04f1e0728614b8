"""The policy's caps: how large one order, one position, and all of them together may be."""

from decimal import Decimal
from functools import cached_property
from typing import Annotated, Self

from pydantic import Field, model_validator

from tollgate_contracts.envelope import Identifier, Symbol, Value
from tollgate_contracts.money import Quantity
from tollgate_risk.core.knobs import Bps, Count
from tollgate_risk.core.tightness import Tighter


class Group(Value):
    """Symbols that move together, and what they may be worth together."""

    name: Annotated[Identifier, Tighter.NEVER]
    """Stands in the reason when the group is full."""
    symbols: Annotated[tuple[Symbol, ...], Field(min_length=1, max_length=64), Tighter.MORE]
    """Which of them; a symbol may be in several groups."""
    exposure: Annotated[Quantity, Tighter.LOWER]
    """Sum of the symbols' worst values, in quote currency."""


class UnitCap(Value):
    """The largest position of one symbol, in units."""

    symbol: Annotated[Symbol, Tighter.NEVER]
    """Whose cap it is."""
    units: Annotated[Quantity, Tighter.LOWER]
    """Base currency."""


class Limits(Value):
    """Caps in quote currency and in numbers of orders; orders that work or are UNKNOWN count in full."""

    order_notional: Annotated[Quantity, Tighter.LOWER]
    """One order."""
    cycle_notional: Annotated[Quantity, Tighter.LOWER]
    """All orders that one cycle of the clock approves and that are not reducing."""
    position_notional: Annotated[Quantity, Tighter.LOWER]
    """One symbol's position with its working orders."""
    position_units: Annotated[tuple[UnitCap, ...], Field(min_length=1, max_length=64)]
    """The same in units, one line for each symbol that is allowed."""
    gross_exposure: Annotated[Quantity, Tighter.LOWER]
    """All positions with their working orders, longs and shorts added."""
    net_exposure: Annotated[Quantity, Tighter.LOWER]
    """The same, longs and shorts against each other."""
    concentration_bps: Annotated[Bps, Field(gt=0), Tighter.LOWER]
    """One symbol's worst value as a part of equity."""
    groups: Annotated[tuple[Group, ...], Field(max_length=16)]
    """Symbols that move together, capped together."""
    open_orders: Annotated[Count, Tighter.LOWER]
    """Orders that are open at once."""
    open_orders_symbol: Annotated[Count, Tighter.LOWER]
    """The same within one symbol."""
    orders_per_cycle: Annotated[Count, Tighter.LOWER]
    """Orders approved within one cycle of the clock that are not reducing."""
    reducing_orders_per_cycle: Annotated[Count, Tighter.LOWER]
    """The same for orders that make a position smaller, which have their own allowance."""

    def groups_of(self, symbol: str) -> tuple[Group, ...]:
        """Return the groups that the symbol is in."""
        return self._groups_by_symbol.get(symbol, ())

    def units_of(self, symbol: str) -> Decimal | None:
        """Return the symbol's cap in units, none where it has none."""
        return self._units_by_symbol.get(symbol)

    @cached_property
    def _groups_by_symbol(self) -> dict[str, tuple[Group, ...]]:
        named = {symbol: None for group in self.groups for symbol in group.symbols}
        return {symbol: tuple(group for group in self.groups if symbol in group.symbols) for symbol in named}

    @cached_property
    def _units_by_symbol(self) -> dict[str, Decimal]:
        return {cap.symbol: cap.units for cap in self.position_units}

    @model_validator(mode="after")
    def _caps_nest(self) -> Self:
        if not self.order_notional <= self.position_notional <= self.gross_exposure:
            raise ValueError(
                f"got {self.order_notional}, {self.position_notional}, {self.gross_exposure}; "
                "expected order_notional <= position_notional <= gross_exposure"
            )
        return self

    @model_validator(mode="after")
    def _names_are_different(self) -> Self:
        for what, names in (
            ("position_units", [cap.symbol for cap in self.position_units]),
            ("groups", [group.name for group in self.groups]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} names {', '.join(twice)} twice, expected once")
        return self
