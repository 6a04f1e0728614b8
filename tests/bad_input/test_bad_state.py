"""A state directory that is not as it was left: each service and the console say so and start from nothing else."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bad_input.conftest import states
from tests.conftest import BUSY, SERVICES, START_S, Platform
from tollgate_console.layout import LAYOUT_VERSION
from tollgate_console.supervisor.postgres_process import MAJOR

pytestmark = pytest.mark.platform
BAD_CONFIGURATION = 78
# Each keeps a snapshot in a file of its own; the ledger keeps its in the database.
WITH_SNAPSHOT = ("strategy", "risk", "execution")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that has traded and was stopped in order."""
    platform = Platform(tmp_path_factory.mktemp("bad_state") / "desk", BUSY)
    try:
        platform.start()
        platform.wait_until(lambda: platform.fills() >= 3, "some fills", 60)
        assert platform.stop() == 0
        yield platform
    finally:
        if platform.process is not None and platform.process.poll() is None:
            platform.process.send_signal(signal.SIGTERM)
            platform.process.wait(30)


def refused_start(desk: Platform) -> str:
    """Start, expect a refusal before anything runs, and return what was said."""
    where = desk.run(*desk.command()[1:])
    assert where.returncode == BAD_CONFIGURATION, where.stdout + where.stderr
    assert "Traceback" not in where.stderr
    assert not (desk.state / "platform.json").exists()
    return where.stderr


def halted(desk: Platform, names: tuple[str, ...]) -> dict[str, str]:
    """Start, wait until each of ``names`` has halted, and return why; stops the platform again."""
    with pytest.raises(AssertionError, match="every service live"):
        start_briefly(desk, names)
    reasons = {}
    for name in names:
        reason = json.loads(desk.place()["processes"][name]["reason"].splitlines()[-1])
        assert (reason["event"], reason["outcome"]) == ("service.end", "halt")
        reasons[name] = reason["detail"]
    told = desk.run("status", "--state-dir", str(desk.state))
    assert told.returncode == 1
    restarts = {name: desk.place()["processes"][name]["restarts"] for name in names}
    assert restarts == dict.fromkeys(names, 0)
    assert desk.stop() == 0
    return reasons


def start_briefly(desk: Platform, names: tuple[str, ...]) -> None:
    """Start until each of ``names`` has ended, which keeps the platform from becoming live."""

    def ended() -> bool:
        return (desk.state / "platform.json").exists() and all(states(desk).get(name) == "ended" for name in names)

    all_live = desk.all_live
    desk.all_live = lambda: ended() or all_live()  # type: ignore[method-assign]
    try:
        desk.start()
    finally:
        del desk.all_live
    assert not ended(), "every service live was expected not to come true"


def test_a_directory_of_another_version_names_both(desk: Platform) -> None:
    mark = desk.state / "layout-version"
    mine = mark.read_text()
    mark.write_text("99\n")
    said = refused_start(desk)
    mark.write_text(mine)
    assert "layout version '99'" in said
    assert f"reads version {LAYOUT_VERSION}" in said
    assert "--state-dir" in said


def test_a_database_of_another_major_names_both(desk: Platform) -> None:
    home = desk.state / "postgres-place"
    data = Path(home.read_text().strip()) if home.exists() else desk.state / "postgres"
    mark = data / "data" / "PG_VERSION"
    mine = mark.read_text()
    mark.write_text("15\n")
    said = refused_start(desk)
    mark.write_text(mine)
    assert "made by PostgreSQL 15" in said
    assert f"runs {MAJOR}" in said


def test_a_damaged_snapshot_halts_its_service_and_without_it_all_is_recovered_from_the_tape(desk: Platform) -> None:
    paths = {name: desk.state / "services" / name / "snapshot.json" for name in WITH_SNAPSHOT}
    for path in paths.values():
        content = path.read_bytes()
        path.write_bytes(content[:-10] + bytes([content[-10] ^ 1]) + content[-9:])
    reasons = halted(desk, WITH_SNAPSHOT)
    for name, path in paths.items():
        assert reasons[name].startswith(f"{path} is damaged")
        assert "remove it to recover from the tape" in reasons[name]
        path.unlink()
    fills = fills_after_start(desk)
    assert fills >= 3
    assert desk.stop() == 0


def fills_after_start(desk: Platform) -> int:
    desk.start()
    desk.wait_until(lambda: desk.fills() >= 3, "the fills of before", START_S)
    return desk.fills()


def test_a_tape_that_was_lost_and_made_anew_halts_every_service_and_nothing_is_written_on_it(desk: Platform) -> None:
    """Last, because the tape of this desk is gone after it."""
    shutil.rmtree(desk.state / "nats" / "data")
    reasons = halted(desk, SERVICES)
    for name, reason in reasons.items():
        assert reason.startswith("the tape ends at 0, but "), name
        assert "restore the tape from the " in reason
        assert "archive before starting again" in reason
