"""Put into an image, while it is built, what depends on which process it is for.

An entrypoint, the health check with the process's port, and, where the ``tollgate`` command is, the tables that it
provisions by.
"""

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path("/opt/tollgate")
HERE = Path(__file__).parent
# The command runs to an end, and is healthy as long as it does.
COMMANDS = ("console", "research")
# Where `tollgate credentials` writes: a volume for each process, so that each can be given its own and no other's.
CREDENTIALS = (
    *(
        f"secrets/{name}"
        for name in (
            "marketdata", "strategy", "risk", "execution", "ledger", "simvenue",
            "console", "provisioner", "postgres", "reader", "grafana",
        )
    ),
    "operator", "nats", "images/postgres", "images/grafana", "images/alertmanager", "nats-data",
)  # fmt: skip


def main() -> None:
    """Assemble the image of the process that is named on the command line."""
    service = sys.argv[1]
    is_command = service in COMMANDS
    program = "tollgate" if is_command else f"tollgate-{service}"
    (ROOT / "bin" / "entrypoint").symlink_to(program)
    shutil.copy(HERE / "healthcheck.py", ROOT)
    shutil.copy(HERE / "make_mount_points.py", ROOT)
    port = None if is_command else port_of(service)
    mounts = [f"/credentials/{name}" for name in CREDENTIALS] if is_command else []
    (ROOT / "image.json").write_text(json.dumps({"service": service, "port": port, "mounts": mounts}))
    if is_command:
        for table in ("nats/permissions.toml", "postgres"):
            source, target = HERE.parent / table, ROOT / "deploy" / table
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    forget_when()


def forget_when() -> None:
    """Remove what uv notes of the minute in which it built our packages: two builds are to hold the same files."""
    for note in ROOT.glob("lib/python*/site-packages/*.dist-info/uv_cache.json"):
        note.unlink()
        record = note.with_name("RECORD")
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if "/uv_cache.json," not in line))


def port_of(service: str) -> int:
    """Return where the process listens, as its own settings say."""
    package = "tollgate_simvenue" if service == "simvenue" else "tollgate_chassis"
    return int(getattr(import_module(f"{package}.settings").Ports(), service))


if __name__ == "__main__":
    main()
