"""The momentum strategy as a pure state machine: quotes become intents, answers and fills change what it holds."""

from tollgate_strategy.core.machine import StrategyCore
from tollgate_strategy.core.parameters import Knobs, Parameters, Tier

__all__ = ["Knobs", "Parameters", "StrategyCore", "Tier"]
