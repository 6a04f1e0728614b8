"""How the breakers of venue calls stand by the tape: a process that starts anew begins there, not with full trust."""

from tollgate_contracts.safety import Breaker, BreakerState, EndpointGroup


class Circuits:
    """The last word on each group of venue calls."""

    def __init__(self) -> None:
        self.breakers: dict[EndpointGroup, BreakerState] = {}
        """Groups whose breaker has ever moved."""

    def on_breaker(self, message: Breaker) -> None:
        """Take a breaker's move."""
        self.breakers[message.group] = message.to_state

    def snapshot(self) -> dict[str, str]:
        """Return the state as JSON-ready values."""
        return {group.value: state.value for group, state in self.breakers.items()}

    def restore(self, state: dict[str, str]) -> None:
        """Take back what ``snapshot`` returned."""
        self.breakers = {EndpointGroup(group): BreakerState(value) for group, value in state.items()}
