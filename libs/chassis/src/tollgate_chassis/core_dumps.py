"""A process that holds secrets leaves no image of its memory behind."""

import resource


def leave_none() -> None:
    """Have the kernel keep no core dump of this process or of those that it starts.

    The limit is one byte and not none: at none a program that ``core_pattern`` names is given the dump all the same
    (Linux, ``fs/coredump.c``). Where somebody has forbidden dumps for good, that stays.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if hard == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
