"""Where the tables of ``deploy/`` lie: permissions of the broker, schemas of the database."""

from pathlib import Path

from tollgate_console.exits import ConsoleError, ConsoleExit


def find_deployment() -> Path:
    """Return the ``deploy`` directory: of this checkout, else of the working directory."""
    candidates = [parent / "deploy" for parent in Path(__file__).resolve().parents] + [Path.cwd() / "deploy"]
    for candidate in candidates:
        if (candidate / "nats" / "permissions.toml").is_file():
            return candidate
    raise ConsoleError(
        ConsoleExit.BAD_CONFIGURATION,
        "deploy/nats/permissions.toml was not found; run tollgate from a checkout of Tollgate",
    )
