"""A tape that is full, and a disk that is: everything stops with the reason, and goes on when there is room."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bad_input.conftest import states
from tests.conftest import BUSY, Platform, ask_venue, assert_everyone_agrees, settle

pytestmark = pytest.mark.platform
HALTED = 70
# A tape of three mebibytes is full of these quotes after some ten seconds, and not before every service is live.
FLOOD = {"TOLLGATE_SIMVENUE__QUOTES_PER_S": "600"}
FULL_S = 120
ROOM = {"TOLLGATE_CONSOLE__TAPE_MIB_MAX": "64"}
WORDS = ("the broker has no room", "nothing is lost", "console.tape_mib_max", "free space on the broker's disk")


def told(desk: Platform) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the report of ``tollgate status --json``."""
    answer = desk.run("status", "--json", "--state-dir", str(desk.state))
    return answer.returncode, json.loads(answer.stdout)


def assert_stopped_for_want_of_room(desk: Platform) -> None:
    """Market data and execution have halted for good; status says why, and no order has left since."""
    desk.wait_until(lambda: states(desk)["marketdata"] == "ended", "market data halts", FULL_S)
    desk.wait_until(lambda: states(desk)["execution"] == "ended", "execution halts", FULL_S)
    code, report = told(desk)
    assert code == 1
    assert not report["healthy"]
    for service in ("marketdata", "execution"):
        reason = json.loads(report["processes"][service]["reason"].splitlines()[-1])
        assert (reason["event"], reason["outcome"]) == ("service.end", "halt")
        assert all(word in reason["detail"] for word in WORDS), reason
    people = desk.run("status", "--state-dir", str(desk.state))
    assert people.returncode == 1
    assert "NOT HEALTHY" in people.stdout
    fills = len(asyncio.run(ask_venue(desk)).fills)
    restarts = {name: process["restarts"] for name, process in report["processes"].items()}
    # Long enough for an order on its way to arrive and for a crash loop to show.
    asyncio.run(asyncio.sleep(3))
    assert len(asyncio.run(ask_venue(desk)).fills) == fills
    assert {name: process["restarts"] for name, process in told(desk)[1]["processes"].items()} == restarts


def test_a_full_tape_halts_the_services_and_a_larger_one_goes_on(platform: Callable[..., Platform]) -> None:
    desk = platform(BUSY | FLOOD | {"TOLLGATE_CONSOLE__TAPE_MIB_MAX": "3"})
    desk.start()
    assert_stopped_for_want_of_room(desk)
    desk.stop()
    desk.environment |= BUSY | ROOM
    desk.start()
    fills = desk.fills()
    desk.wait_until(lambda: desk.fills() > fills, "fills on a larger tape", 60)
    settle(desk)
    assert_everyone_agrees(desk)
    assert desk.stop() == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    place = tmp_path / "small-disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system; the tape's own limit is tested above")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_on_a_full_disk_nothing_is_traded_and_a_start_with_room_goes_on(
    small_disk: Path, platform: Callable[..., Platform]
) -> None:
    """The broker says nothing to its clients when its disk takes no more: they doubt, and say where to look."""
    desk = platform(BUSY)
    (desk.state / "nats").mkdir(parents=True)
    (desk.state / "nats" / "data").symlink_to(small_disk)
    desk.start()
    desk.wait_until(lambda: desk.fills() >= 1, "a first fill", 60)
    ballast = small_disk / "ballast"
    filling = subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4k"], capture_output=True, check=False)
    assert b"No space left" in filling.stderr
    desk.wait_until(lambda: desk.place()["processes"]["marketdata"]["restarts"] >= 2, "market data doubts", 60)
    log = (desk.state / "logs" / "marketdata.jsonl").read_text()
    assert "look at the broker's log: when its disk is full it answers no more" in log
    # The client library tells of its own surprise when a late answer meets a question that was given up.
    ours = [line for line in log.splitlines() if "nats: encountered error" not in line]
    assert not [line for line in ours if "Traceback" in line]
    fills = len(asyncio.run(ask_venue(desk)).fills)
    # Between two doubts a service may look well for a moment.
    desk.wait_until(lambda: told(desk)[0] == 1, "status says that it is not healthy")
    asyncio.run(asyncio.sleep(3))
    assert len(asyncio.run(ask_venue(desk)).fills) == fills
    desk.stop()
    ballast.unlink()
    desk.start()
    desk.wait_until(lambda: desk.fills() > fills, "fills on a disk with room", 60)
    settle(desk)
    assert_everyone_agrees(desk)
    assert desk.stop() == 0
