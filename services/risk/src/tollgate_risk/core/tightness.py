"""Which way a knob of the policy is tightened: what may be done while the desk runs, and what needs a restart."""

from enum import Enum


class Tighter(Enum):
    """The direction in which a knob lets less through; every knob carries one, as metadata of its annotation."""

    LOWER = "lower"
    """A smaller number: caps and ages."""
    HIGHER = "higher"
    """A larger number: reserves, spacings and distances."""
    FEWER = "fewer"
    """A part of what was named: the allowlist."""
    MORE = "more"
    """More than was named: the exclusions."""
    SEVERER = "severer"
    """A mode that lets less through."""
    OFF = "off"
    """From true to false: permissions."""
    ON = "on"
    """From false to true: restraints."""
    NEVER = "never"
    """Not while the desk runs: neither direction is the safer one."""
