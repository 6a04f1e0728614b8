"""PostgreSQL under root: in a namespace, or as a real user where there is none."""

import asyncio
import os
import pwd
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from tollgate_console.layout import Layout
from tollgate_console.provision.database import SUPERUSER, DatabasePlace
from tollgate_console.provision.keys import provision_secrets, read_password
from tollgate_console.supervisor import postgres_process
from tollgate_console.supervisor.child import Child
from tollgate_console.supervisor.events import Events
from tollgate_console.supervisor.identity import RunAs, Way, may_enter, unprivileged
from tollgate_console.supervisor.postgres_process import Installation, postgres_spec, prepare
from tollgate_console.supervisor.readiness import accepts

Until = Callable[..., Awaitable[None]]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")
NOBODY = pwd.getpwnam("nobody")
AS_NOBODY = RunAs(Way.USER, NOBODY.pw_uid, NOBODY.pw_gid)


async def start_and_stop(layout: Layout, installation: Installation, port: int, until: Until) -> int:
    """Start the server, log in, and return the user id under which it ran."""
    place = DatabasePlace(port)
    child = Child(postgres_spec(layout, installation, place), Events(layout.log("supervisor")), lambda: None)
    await child.start()
    try:
        await until(lambda: accepts(place.dsn(SUPERUSER, read_password(layout, SUPERUSER), SUPERUSER)))
        assert child.running is not None
        return int(psutil.Process(child.running.pid).uids().effective)
    finally:
        await child.stop()


@needs_root
async def test_as_root_in_a_directory_that_only_root_may_enter(layout: Layout, base_port: int, until: Until) -> None:
    """The namespace needs no right for anybody else: the state directory stays closed."""
    found = unprivileged((str(postgres_process.find_binaries() / "postgres"), "--version"))
    if found.way is not Way.NAMESPACE:
        pytest.skip("user namespaces are forbidden here")
    provision_secrets(layout, (), ())
    installation = await asyncio.to_thread(prepare, layout, found)
    assert await start_and_stop(layout, installation, base_port, until) == 0
    assert stat.S_IMODE(layout.root.stat().st_mode) == 0o700


@needs_root
async def test_as_a_real_user_where_namespaces_are_forbidden(
    layout: Layout, base_port: int, until: Until, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data goes where that user can go, and is found there again; nobody else can read it."""
    elsewhere = Path("/tmp") / f"tollgate-test-{os.getpid()}"  # noqa: S108 - removed below
    elsewhere.mkdir(mode=0o711)
    monkeypatch.setattr(postgres_process, "_ELSEWHERE", elsewhere)
    provision_secrets(layout, (), ())
    try:
        assert not may_enter(layout.root, AS_NOBODY)
        installation = await asyncio.to_thread(prepare, layout, AS_NOBODY)
        assert elsewhere in installation.data.parents
        assert await start_and_stop(layout, installation, base_port, until) == NOBODY.pw_uid
        assert stat.S_IMODE(installation.data.stat().st_mode) == 0o700
        again = await asyncio.to_thread(prepare, layout, AS_NOBODY)
        assert again.data == installation.data
        assert await start_and_stop(layout, again, base_port, until) == NOBODY.pw_uid
    finally:
        await asyncio.to_thread(_remove, elsewhere)


@needs_root
async def test_binaries_that_the_user_cannot_reach_are_copied(
    layout: Layout, base_port: int, until: Until, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout below /root is closed to everybody else, and its wheel with it."""
    elsewhere = Path("/tmp") / f"tollgate-test-copy-{os.getpid()}"  # noqa: S108 - removed below
    elsewhere.mkdir(mode=0o711)
    monkeypatch.setattr(postgres_process, "_ELSEWHERE", elsewhere)
    binaries = postgres_process.find_binaries()
    monkeypatch.setattr(postgres_process, "may_enter", lambda path, run_as: path != binaries / "postgres")
    provision_secrets(layout, (), ())
    try:
        layout.postgres_place_file.write_text(f"{elsewhere / 'data-here'}\n")
        installation = await asyncio.to_thread(prepare, layout, AS_NOBODY)
        assert elsewhere in installation.binaries.parents
        assert await start_and_stop(layout, installation, base_port, until) == NOBODY.pw_uid
    finally:
        await asyncio.to_thread(_remove, elsewhere)


@needs_root
def test_a_link_in_the_place_of_the_data_is_refused(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where everybody may write, somebody may have put a link to what is not ours."""
    target = layout.root / "target"
    target.mkdir()
    (layout.root / "link").symlink_to(target)
    layout.postgres_place_file.write_text(f"{layout.root / 'link'}\n")
    provision_secrets(layout, (), ())
    with pytest.raises(Exception, match="is a link or belongs to another user"):
        prepare(layout, AS_NOBODY)


def _remove(folder: Path) -> None:
    import shutil  # noqa: PLC0415 - the only use

    shutil.rmtree(folder)
