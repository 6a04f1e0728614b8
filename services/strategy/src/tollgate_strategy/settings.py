"""Typed configuration of the strategy."""

from tollgate_chassis.settings import DeskSettings
from tollgate_contracts.config import canonical_json
from tollgate_strategy.core import Knobs, Parameters


class StrategySettings(DeskSettings):
    """What the strategy is started with; the section is the core's own knobs, so that the two cannot differ."""

    strategy: Knobs = Knobs()

    def config_text(self) -> str:
        """Return the text of the ``config`` message: all that the core decides by."""
        parameters = Parameters(
            desk=self.desk,
            venue=self.venue,
            account=self.account,
            quote_currency=self.quote_currency,
            symbols=self.symbols,
            knobs=self.strategy,
        )
        return canonical_json(parameters.model_dump(mode="json"))
