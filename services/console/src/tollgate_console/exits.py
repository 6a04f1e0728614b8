"""How the ``tollgate`` command ends; scripts may rely on these numbers, which follow BSD's sysexits.h."""

from enum import IntEnum


class ConsoleExit(IntEnum):
    """Exit codes of every ``tollgate`` subcommand."""

    OK = 0
    NOT_HEALTHY = 1
    """The platform runs and something in it is down, or the command failed."""
    USAGE = 2
    """The command line is wrong."""
    NOT_RUNNING = 69
    """No platform runs on this state directory."""
    ALREADY_RUNNING = 73
    """Another process holds this state directory."""
    TEMPORARY = 75
    """Something outside is in the way, such as a taken port or a full disk; mend it and try again."""
    BAD_CONFIGURATION = 78
    """The configuration, or the data directory, is not one that this version can use."""


EXIT_CODES_HELP = (
    "Exit codes: 0 ok · 1 not healthy or failed · 2 wrong usage · 69 not running · 73 already running · "
    "75 try again (port taken, disk full) · 78 bad configuration or data directory."
)


class ConsoleError(Exception):
    """The command cannot go on; the message says what is wrong and what to do, ``code`` how to end."""

    def __init__(self, code: ConsoleExit, what: str) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
