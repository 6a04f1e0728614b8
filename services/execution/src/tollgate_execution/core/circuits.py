"""How the breakers of venue calls stand by the tape: a process that starts anew begins there, not with full trust."""

from typing import Any

from tollgate_contracts.safety import Breaker, BreakerState, EndpointGroup


class Circuits:
    """The last word on each group of venue calls."""

    def __init__(self) -> None:
        self.breakers: dict[EndpointGroup, BreakerState] = {}
        """Groups whose breaker has ever moved."""
        self.banned_until_us = 0
        """Until when the venue takes no call of ours; a process that starts anew keeps to it."""

    def on_breaker(self, message: Breaker) -> None:
        """Take a breaker's move."""
        self.breakers[message.group] = message.to_state
        self.banned_until_us = max(self.banned_until_us, message.banned_until_us or 0)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        breakers = {group.value: state.value for group, state in self.breakers.items()}
        return {"breakers": breakers, "banned_until_us": self.banned_until_us}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        self.breakers = {EndpointGroup(group): BreakerState(value) for group, value in state["breakers"].items()}
        self.banned_until_us = state["banned_until_us"]
