"""A real Alertmanager holds back what follows from something that is said already, and of the same desk only."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import ASK
from tests.deploy.prometheus.test_configuration import FILES, LABELS
from tests.deploy.tools import tool

READY_S = 15
TEMPLATES = Path("prometheus/alertmanager/default.tmpl")
# An alert is taken at once; that it holds another back is seen with the next look at it.
HELD_S = 5


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start one with the real configuration; nobody listens where it would send."""
    directory = tmp_path_factory.mktemp("alertmanager")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(*program(), f"--config.file={FILES / 'alertmanager.yml'}", f"--storage.path={directory}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="),
    ]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, directory / "log")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def program() -> list[str]:
    """Return how Alertmanager is started: Debian's looks for its templates where the package would have put them."""
    binary = Path(tool("prometheus-alertmanager"))
    unpacked = binary.parents[1] / "share"
    if not (unpacked / TEMPLATES).exists() or (Path("/usr/share") / TEMPLATES).exists():
        return [str(binary)]
    if shutil.which("unshare") is None:
        pytest.skip(f"{binary} needs /usr/share/{TEMPLATES}, and there is no unshare to show it there")
    # Only this process sees it, and nothing of the machine is changed.
    script = f'mount --bind "{unpacked}" /usr/share && exec "$0" "$@"'
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", script, str(binary)]


def wait_until_ready(url: str, log: Path) -> None:
    """Wait until it answers."""
    deadline = time.monotonic() + READY_S
    while True:
        try:
            if ASK.get(f"{url}/-/ready", timeout=1).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def called(alertmanager: str, desk: str, *alerts: dict[str, str]) -> set[str]:
    """Raise the alerts, beside those of a second desk where all but the first fire, and return who is called for."""
    raised = [LABELS[labels["alertname"]] | {"desk": desk} | labels for labels in alerts]
    raised += [labels | {"desk": f"{desk}-other"} for labels in raised[1:]]
    answer = ASK.post(f"{alertmanager}/api/v2/alerts", json=[{"labels": labels} for labels in raised], timeout=5)
    assert answer.status_code == httpx.codes.OK, answer.text
    active: list[dict[str, str]] = []
    deadline = time.monotonic() + HELD_S
    while time.monotonic() < deadline:
        parameters = {"filter": f'desk=~"{desk}.*"', "inhibited": "false"}
        active = [each["labels"] for each in ASK.get(f"{alertmanager}/api/v2/alerts", params=parameters).json()]
        if len(active) < len(raised):
            break
        time.sleep(0.2)
    others = {each["alertname"] for each in active if each["desk"] == f"{desk}-other"}
    assert others == {labels["alertname"] for labels in alerts[1:]}, "another desk's alerts are held back"
    return {each["alertname"] for each in active if each["desk"] == desk}


def alert(name: str, **labels: str) -> dict[str, str]:
    """Return an alert with the labels of its series."""
    return {"alertname": name, **labels}


def test_an_engaged_kill_switch_holds_back_that_nothing_is_permitted(alertmanager: str):
    consequences = (
        alert("TollgatePermitStale", service="execution"),
        alert("TollgatePermitWithheld", service="risk"),
        alert("TollgateSafeMode", dependency="PERMIT"),
    )
    found = called(alertmanager, "killed", alert("TollgateRiskKillSwitch"), *consequences)
    assert found == {"TollgateRiskKillSwitch"}


def test_an_engaged_kill_switch_holds_back_nothing_of_the_venue_or_the_books(alertmanager: str):
    others = {
        "TollgateOrderUnknown",
        "TollgatePositionUnprotected",
        "TollgateRiskLedgerDrift",
        "TollgateServiceNotLive",
    }
    raised = (
        *(alert(name, service="execution") for name in sorted(others)),
        alert("TollgateSafeMode", dependency="VENUE"),
    )
    found = called(alertmanager, "watched", alert("TollgateRiskKillSwitch"), *raised)
    assert found == {"TollgateRiskKillSwitch", "TollgateSafeMode", *others}


def test_what_is_worse_holds_back_what_was_bad(alertmanager: str):
    assert called(alertmanager, "full", alert("TollgateTapeNearlyFull"), alert("TollgateTapeFilling")) == {
        "TollgateTapeNearlyFull"
    }


def test_a_service_that_is_not_live_holds_back_what_is_said_of_its_instances_and_of_no_other_service(alertmanager: str):
    found = called(
        alertmanager,
        "down",
        alert("TollgateServiceNotLive", service="strategy"),
        alert("TollgateTargetDown", service="strategy", instance="strategy:8402"),
        alert("TollgateRestartsRepeatedly", service="ledger"),
        alert("TollgateFeedNotUp"),
    )
    assert found == {"TollgateServiceNotLive", "TollgateRestartsRepeatedly", "TollgateFeedNotUp"}


def test_an_objective_that_burns_fast_holds_back_that_it_burns_slowly(alertmanager: str):
    found = called(
        alertmanager,
        "burning",
        alert("TollgateSloTapeLagFast", service="risk"),
        alert("TollgateSloTapeLagSlow", service="risk"),
        alert("TollgateSloCycleLagSlow", service="risk"),
    )
    assert found == {"TollgateSloTapeLagFast", "TollgateSloCycleLagSlow"}
