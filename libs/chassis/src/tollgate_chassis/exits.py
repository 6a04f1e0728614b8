"""How a process ends, as its supervisor reads it; the numbers follow BSD's sysexits.h."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every Tollgate process."""

    STOPPED = 0
    HALT = 70
    """Starting again would change nothing, or harm, such as on a tape that is full or went back; a person must look."""
    RESTART = 75
    """The process doubts its connections or lost the race to write; start it again."""
    BAD_CONFIGURATION = 78
    """Starting again changes nothing until the configuration is mended."""


class ProcessEnd(Exception):
    """The process must end with ``code``; the message says why."""

    code: Exit

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Halt(ProcessEnd):
    """What this service finds or does is not to be mended by starting again."""

    code = Exit.HALT


class Restart(ProcessEnd):
    """A connection is in doubt; crash-only recovery is to start again from snapshot and tape."""

    code = Exit.RESTART


class BadConfiguration(ProcessEnd):
    """The configuration or a secret is missing or wrong."""

    code = Exit.BAD_CONFIGURATION
