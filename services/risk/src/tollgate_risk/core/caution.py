"""What asks for caution, and since when: the memory of the mode."""

from dataclasses import dataclass, field

from tollgate_contracts.risk import Condition, TradingMode


@dataclass(slots=True)
class Caution:
    """Conditions that hold or have held, and how far the way back has come; all times are tape time."""

    since_us: int = 0
    """Since when the mode in force is in force."""
    floor: TradingMode = TradingMode.NORMAL
    """The mode that conditions ask for, or have asked for so lately that the way back is not over."""
    quiet_since_us: int | None = None
    """Since when no condition asks for the floor; none while one does, and while the floor is NORMAL."""
    active: dict[Condition, int] = field(default_factory=dict)
    """The conditions that hold, each with the time at which it began."""
    ended: dict[Condition, int] = field(default_factory=dict)
    """Those that have ended since the floor was last NORMAL, each with the time of its end."""

    def note(self, condition: Condition, holds: bool, now_us: int) -> None:
        """Note whether a condition holds now."""
        if holds and condition not in self.active:
            self.active[condition] = now_us
            self.ended.pop(condition, None)
        elif not holds and condition in self.active:
            del self.active[condition]
            self.ended[condition] = now_us
