"""The drill: what is lost is restored, verified, and traded on; each step's time is printed for the runbook."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.bad_input.conftest import states
from tests.conftest import BUSY, ROOT, TOLLGATE, Platform, assert_everyone_agrees, settle

pytestmark = pytest.mark.platform
SEALED_OFTEN = {**BUSY, "TOLLGATE_LEDGER__SEAL_INTERVAL_S": "2"}
# So that it takes a moment to put it back.
LONG_TAPE = {"TOLLGATE_SIMVENUE__QUOTES_PER_S": "150"}
# Of the tape that is put back: enough that records are there, and not yet all of them.
_SOME_BYTES = 100_000
CONFIG = ("--config", str(ROOT / "config" / "tollgate.yaml"))


def command(desk: Platform, *arguments: str) -> dict[str, Any]:
    """Run a command that answers in JSON and must end well."""
    done = desk.run(*arguments, "--json", timeout_s=240)
    assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def restored(desk: Platform, *arguments: str) -> dict[str, Any]:
    """Run ``tollgate restore``, start, and print how long it took until every service was live."""
    began = time.monotonic()
    outcome = command(desk, "restore", *arguments, *where(desk))
    desk.start()
    print(json.dumps({**outcome, "live_again_s": round(time.monotonic() - began, 1)}))
    return outcome


def where(desk: Platform) -> tuple[str, ...]:
    """Return the options that name a desk whose platform does not run."""
    return ("--state-dir", str(desk.state), "--base-port", str(desk.base_port), *CONFIG)


def assert_the_books_hold(desk: Platform) -> None:
    """Verify, rebuild and compare with the venue, all on the running platform."""
    state = ("--state-dir", str(desk.state))
    audit = command(desk, "audit", "verify", *state)
    assert audit["holds"], audit
    assert audit["sealed"] > 0
    assert audit["not_proved"] == []
    assert command(desk, "audit", "rebuild", *state)["equal"]
    # What was traded at the moment of the statement is on the tape a moment later.
    desk.wait_until(lambda: desk.run("audit", "venue", *state).returncode == 0, "books and venue agree", 30)


def trade(desk: Platform, more: int = 4) -> None:
    """Let some more fills come."""
    fills = desk.fills()
    desk.wait_until(lambda: desk.fills() >= fills + more, f"{more} more fills", 60)


def kill_everything(desk: Platform) -> None:
    """Kill the supervisor without warning; the kernel takes its children with it."""
    processes = [psutil.Process(desk.pid(name)) for name in desk.place()["processes"]]
    assert desk.process is not None
    desk.process.send_signal(signal.SIGKILL)
    desk.process.wait(30)
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert alive == []


def lose_the_database(desk: Platform) -> None:
    """Remove the data of the stopped database."""
    place = desk.state / "postgres-place"
    home = Path(place.read_text().strip()) if place.exists() else desk.state / "postgres"
    shutil.rmtree(home / "data")


def cut_off(desk: Platform, *arguments: str) -> None:
    """Run ``tollgate restore`` and kill it while it puts the tape back; nothing of it may go on running."""
    data = desk.state / "nats" / "data"

    def has_some() -> bool:
        return sum(path.stat().st_size for path in data.rglob("*.blk")) > _SOME_BYTES

    with subprocess.Popen([str(TOLLGATE), "restore", *arguments, *where(desk)], cwd=ROOT, env=desk.environment) as run:
        # Looked at often, because all of it is put back within a second.
        while run.poll() is None and not has_some():
            time.sleep(0.005)
        children = psutil.Process(run.pid).children(recursive=True)
        run.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    assert run.returncode == -signal.SIGKILL


def is_trusted(desk: Platform) -> bool:
    """Say whether execution has asked the venue about what the restored journal may lack."""
    said = [line.get("outcome") for line in desk.log("execution") if line.get("event") == "journal.restored"]
    return said[-1:] == ["trusted again"]


def bring_what_no_backup_has(old: Platform, new: Platform) -> None:
    """Copy the keys, which the runbook has one keep; and the simulated exchange, which is not ours to lose."""
    shutil.copytree(old.state / "secrets", new.state / "secrets")
    shutil.copytree(old.state / "services" / "simvenue", new.state / "services" / "simvenue")
    new.state.chmod(0o700)


def test_a_lost_database_is_restored_and_a_new_machine_needs_a_backup_and_the_keys(
    platform: Callable[..., Platform], tmp_path: Path
) -> None:
    """The first catches up from the tape, on the second the tape comes from the backup as well, killed once on the way.

    Its backup is of the stopped platform.
    """
    desk = platform(SEALED_OFTEN | LONG_TAPE)
    desk.start()
    trade(desk)
    made = desk.run("backup", str(tmp_path / "backup"), "--state-dir", str(desk.state))
    assert made.returncode == 0, made.stderr
    trade(desk)
    settle(desk)
    view = assert_everyone_agrees(desk)
    assert desk.stop() == 0

    lose_the_database(desk)
    outcome = restored(desk, str(tmp_path / "backup"))
    assert outcome["database"]["archived_sequence"] > 0
    settle(desk)
    assert assert_everyone_agrees(desk).fills == view.fills
    assert desk.stop() == 0

    made = desk.run("backup", str(tmp_path / "stopped"), *where(desk))
    assert made.returncode == 0, made.stderr
    new = platform(SEALED_OFTEN, name="new")
    bring_what_no_backup_has(desk, new)
    cut_off(new, str(tmp_path / "stopped"), "--tape")
    outcome = restored(new, str(tmp_path / "stopped"), "--tape")
    archived, found = outcome["database"]["archived_sequence"], outcome["tape"]["found"]
    assert 0 < found < found + outcome["tape"]["restored"] == archived
    settle(new)
    assert assert_everyone_agrees(new).fills == view.fills
    new.wait_until(lambda: is_trusted(new), "execution trusts its journal again")
    assert new.release().status_code == 200
    trade(new, 1)
    settle(new)
    assert_everyone_agrees(new)
    assert_the_books_hold(new)


def test_a_broker_that_lost_everything_gets_its_tape_back_from_the_archive(platform: Callable[..., Platform]) -> None:
    """Killed in mid-trade: what was not archived yet is lost, its places are marked, and everybody agrees."""
    desk = platform(SEALED_OFTEN)
    desk.start()
    trade(desk, 6)
    archived = desk.status("ledger")["archived"]
    kill_everything(desk)
    shutil.rmtree(desk.state / "nats" / "data")

    outcome = restored(desk, "--tape")
    tape = outcome["tape"]
    assert tape["found"] == 0
    assert tape["restored"] >= archived
    trade(desk)
    settle(desk)
    assert_everyone_agrees(desk)
    assert_the_books_hold(desk)
    assert desk.status("ledger")["archived"] > tape["restored"] + tape["lost"]


def test_a_tape_that_was_rolled_back_halts_everybody_until_its_end_is_put_back(
    platform: Callable[..., Platform],
) -> None:
    desk = platform(SEALED_OFTEN)
    desk.start()
    trade(desk)
    assert desk.stop() == 0
    data, older = desk.state / "nats" / "data", desk.state / "older"
    shutil.copytree(data, older)
    desk.start()
    trade(desk)
    settle(desk)
    view = assert_everyone_agrees(desk)
    assert desk.stop() == 0
    shutil.rmtree(data)
    older.rename(data)

    with pytest.raises(AssertionError, match="every service live"):
        start_until_halted(desk, ("risk", "execution", "ledger"))
    assert desk.stop() == 0
    tape = restored(desk, "--tape")["tape"]
    assert tape["found"] > 0
    assert tape["restored"] > 0
    settle(desk)
    assert assert_everyone_agrees(desk).fills == view.fills
    assert_the_books_hold(desk)


def start_until_halted(desk: Platform, names: tuple[str, ...]) -> None:
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
