"""Wiring of the strategy: its configuration goes onto the tape, and what it writes is told to those who watch."""

import asyncio
import time
from typing import Any

from tollgate_chassis.runner import Runner
from tollgate_chassis.service import Parts, run_service
from tollgate_chassis.shell import Shell
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import strategy as metrics
from tollgate_contracts.config import Config, config_hash
from tollgate_contracts.envelope import Message
from tollgate_contracts.money import plain
from tollgate_contracts.strategy import Intent
from tollgate_domain import amounts
from tollgate_strategy.core import StrategyCore
from tollgate_strategy.settings import StrategySettings

# Telling waits until the intent is on its way: nothing stands between a decision and the tape.
_TELL_AFTER_S = 0.005


class StrategyShell(Shell):
    """The strategy has no effects: it reads the tape, and what it wants it writes there."""

    span_name = "strategy.decide"

    def __init__(self, settings: StrategySettings, core: StrategyCore) -> None:
        self._settings = settings
        self._core = core
        self._text = settings.config_text()
        self._hash = config_hash(self._text)
        self._runner: Runner | None = None

    async def start(self, runner: Runner) -> None:
        """Take note of the runner; there is nothing to connect."""
        self._runner = runner

    async def went_live(self) -> None:
        """Put the configuration onto the tape, unless it is what the tape has in force."""
        state, runner = self._core.state, self._runner
        if runner is None or (state.parameters is not None and state.config_hash == self._hash and not state.fault):
            return
        config = Config(
            writer="strategy",
            # Numbered, because a configuration that comes back later is a new event.
            id=f"strategy:config:{state.configs + 1}.0",
            desk=self._settings.desk,
            run_id=self._settings.run_id,
            ts_us=time.time_ns() // 1_000,
            cause=None,
            cycle_id=runner.cycle_id,
            text=self._text,
            hash=self._hash,
        )
        await runner.observe(config)
        logger().info("strategy.config", outcome="appended", config_hash=self._hash)

    def finish(self, output: Message) -> Message:
        """Return the output as it is, and have it told once it is on its way."""
        if isinstance(output, Intent) and self._runner is not None and self._runner.live.is_set():
            asyncio.get_running_loop().call_later(_TELL_AFTER_S, _tell, output)
        return output

    def status(self) -> dict[str, Any]:
        """Return intents, positions, what is outstanding, and what keeps the strategy still."""
        state = self._core.state
        holdings = {} if state.portfolio is None else state.portfolio.holdings()
        working = {name: symbol.working for name, symbol in state.symbols.items() if symbol.working is not None}
        return {
            "configured": state.parameters is not None,
            "config_hash": state.config_hash,
            "intents": state.intents,
            "positions": {symbol: plain(holding.quantity) for symbol, holding in holdings.items()},
            "cash": None if state.portfolio is None else plain(state.portfolio.cash),
            "fees_without_rate": {} if state.portfolio is None else amounts.to_json(state.portfolio.without_rate()),
            "working": [
                {
                    "symbol": symbol,
                    "client_order_id": order.client_order_id,
                    "side": order.side.value,
                    "quantity": plain(order.quantity),
                    "filled": plain(order.filled),
                    "state": None if order.state is None else order.state.value,
                }
                for symbol, order in sorted(working.items())
            ],
            "fault": state.fault,
        }

    def not_ready(self) -> list[str]:
        """Return what keeps the strategy from wanting anything."""
        state = self._core.state
        reasons = []
        if state.parameters is None:
            reasons.append("the configuration is not in force yet")
        if state.portfolio is None:
            reasons.append("the venue has not stated the account yet")
        if state.fault is not None:
            reasons.append(state.fault)
        return reasons


def _tell(intent: Intent) -> None:
    metrics.INTENTS.labels(intent.symbol, intent.side.value).inc()
    logger().info(
        "strategy.intent",
        symbol=intent.symbol,
        client_order_id=intent.client_order_id,
        cycle_id=intent.cycle_id,
        outcome=intent.side.value.lower(),
        signal=intent.rationale.signal,
        quantity=plain(intent.quantity),
    )


def build(settings: StrategySettings) -> Parts:
    """Build the service from its settings."""
    core = StrategyCore()
    return Parts(core=core, shell=StrategyShell(settings, core))


def main() -> None:
    """Run the strategy."""
    run_service("strategy", StrategySettings, build)
