"""What the strategy knows, from the tape and nothing else."""

from dataclasses import dataclass, field

from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.reconciliation import Account
from tollgate_domain.instruments import InstrumentRules
from tollgate_domain.portfolio import OptionalPortfolio
from tollgate_strategy.core.averages import Averages
from tollgate_strategy.core.parameters import Parameters
from tollgate_strategy.core.working import Working


@dataclass(slots=True)
class SymbolState:
    """One symbol: its averages, its one order, and when it may act again."""

    averages: Averages | None = None
    working: Working | None = None
    opened_us: int | None = None
    """When the position in hand was entered; none while flat."""
    not_before_us: int = 0
    """No intent at all before this time: back-off after a rejection."""
    no_entry_before_us: int = 0
    """No entry before this time: cooldown after an exit."""


@dataclass(slots=True)
class StrategyState:
    """The strategy's whole memory; every field is a function of the tape so far."""

    now_us: int = 0
    """The highest time that any message on the tape has borne."""
    parameters: Parameters | None = None
    """None before the first configuration, and after one that could not be read: nothing is then wanted."""
    config_hash: str | None = None
    configs: int = 0
    """How many configurations of this service the tape has carried."""
    feed: FeedState | None = None
    instruments: dict[str, InstrumentRules] = field(default_factory=dict)
    first_account: Account | None = None
    """The account message that came before the configuration, which alone says whose it must be."""
    portfolio: OptionalPortfolio = None
    """What this strategy has bought with the account's cash; what was held before is not its to sell."""
    symbols: dict[str, SymbolState] = field(default_factory=dict)
    intents: int = 0
    fault: str | None = None
    """Why the strategy has stopped itself, in words; cleared by the next configuration."""

    def symbol(self, symbol: str) -> SymbolState:
        """Return the state of ``symbol``, made when it is first asked for."""
        state = self.symbols.get(symbol)
        if state is None:
            state = self.symbols[symbol] = SymbolState()
        return state
