"""The whole platform as a test sees it: started by its own command, asked by its own doors, killed by its pids."""

import asyncio
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import SystemRandom
from typing import Any

import httpx
import pytest

from tests.policies import PATIENT, write_policy
from tollgate_execution.venues.simulated import SimulatedVenue, VenueKey
from tollgate_venues.evidence import FillEvidence, FillPage

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "dev"
TOLLGATE = Path(sys.executable).parent / "tollgate"
SERVICES = ("marketdata", "strategy", "risk", "execution", "ledger")
# A first start makes a database and imports six Python processes on what may be a busy machine.
START_S = 60
PORTS_NEEDED = 12
# A client for each question would read the system's certificates each time, which takes 40 ms of a core.
ASK = httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

# What one of pytest's workers finds free, another could take before it is used: each looks among its own.
_WORKERS, _SPACING = 8, 50
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
_BASES = range(20_000 + _SPACING * _WORKER, 32_000, _SPACING * _WORKERS)

# A strategy that finds a reason to trade every few seconds, so that a short test sees many orders.
BUSY = {
    "TOLLGATE_STRATEGY__FAST_MS": "200",
    "TOLLGATE_STRATEGY__SLOW_MS": "800",
    "TOLLGATE_STRATEGY__WARMUP_MS": "500",
    "TOLLGATE_STRATEGY__ENTRY_BPS": "0.1",
    "TOLLGATE_STRATEGY__EXIT_BPS": "0.1",
    "TOLLGATE_STRATEGY__MAX_HOLD_MS": "1000",
    "TOLLGATE_STRATEGY__COOLDOWN_MS": "0",
    "TOLLGATE_STRATEGY__REJECTION_BACKOFF_MS": "200",
    "TOLLGATE_SIMVENUE__QUOTES_PER_S": "40",
    # Five symbols in and out once a second turn over a million a minute.
    "TOLLGATE_EXECUTION__MINUTE_NOTIONAL_MAX": "10000000",
}


def free_base_port() -> int:
    """Return a port from which enough in a row are free."""
    # Not the lowest first: another run on this machine looks for some at the same time.
    for base in SystemRandom().sample(_BASES, len(_BASES)):
        try:
            for port in range(base, base + PORTS_NEEDED):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


class Platform:
    """One running platform in a directory of its own."""

    def __init__(
        self,
        state: Path,
        environment: dict[str, str] | None = None,
        options: tuple[str, ...] = (),
        policy: dict[str, Any] | None = None,
    ) -> None:
        """``policy`` are changes of the shipped one by dotted key; without any it is ``PATIENT``."""
        self.state = state
        self.base_port = free_base_port()
        self.policy = write_policy(state.parent / f"{state.name}.policy.yaml", PATIENT if policy is None else policy)
        self.environment = {
            **os.environ,
            "TOLLGATE_RISK__POLICY_FILE": str(self.policy),
            **(environment or {}),
        }
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self.output = state.parent / f"{state.name}.out"

    def command(self, *extra: str) -> list[str]:
        """Return the command line that starts it."""
        where = ["--state-dir", str(self.state), "--base-port", str(self.base_port)]
        config = ["--config", str(ROOT / "config" / "tollgate.yaml")]
        return [str(TOLLGATE), "up", "--plain", *where, *config, *self.options, *extra]

    def start(self) -> None:
        """Start and wait until every service is live and the feed is up."""
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.command(), cwd=ROOT, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )
        self.wait_until(self.all_live, "every service live", START_S)

    def stop(self) -> int:
        """Stop as Ctrl-C does and return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def place(self) -> dict[str, Any]:
        """Return what the supervisor wrote about itself."""
        content: dict[str, Any] = json.loads((self.state / "platform.json").read_text())
        return content

    def port(self, service: str) -> int:
        """Return where a process listens."""
        return int(self.place()["ports"][service])

    def url(self, service: str) -> str:
        """Return where a process answers."""
        return f"http://127.0.0.1:{self.port(service)}"

    def operator(self, scope: str) -> dict[str, str]:
        """Return the header of the first operator with ``scope``: read, kill, release, limits or books."""
        token = (self.state / "operator" / f"{scope}.token").read_text().strip()
        return {"Authorization": f"Bearer {token}"}

    def engage(self, service: str = "risk", **body: object) -> httpx.Response:
        """Engage the kill switch of risk, or shut execution's door."""
        return ASK.put(
            f"{self.url(service)}/v1/kill-switch",
            headers=self.operator("kill"),
            json=body or None,
            # It may wait for the proof of flat.
            timeout=90,
        )

    def release(self, service: str = "risk", reason: str = "a test", timeout_s: float = 30) -> httpx.Response:
        """Release it; as long as venue and gate do not agree yet, try again."""
        deadline = time.monotonic() + timeout_s
        while True:
            answer = ASK.request(
                "DELETE",
                f"{self.url(service)}/v1/kill-switch",
                headers=self.operator("release"),
                json={"reason": reason},
                timeout=10,
            )
            is_too_early = answer.status_code == httpx.codes.CONFLICT or "try again" in answer.text
            if not is_too_early or time.monotonic() > deadline:
                return answer
            time.sleep(0.3)

    def status(self, service: str) -> dict[str, Any]:
        """Return a service's own status; empty while it does not answer."""
        try:
            answer = ASK.get(f"{self.url(service)}/v1/status", timeout=2)
        except (httpx.HTTPError, OSError):
            return {}
        content: dict[str, Any] = answer.json()
        return content

    def books(self) -> dict[str, Any]:
        """Return what the ledger says of the books now; empty while it does not."""
        try:
            answer = ASK.get(f"{self.url('ledger')}/v1/books", headers=self.operator("read"), timeout=2)
        except (httpx.HTTPError, OSError):
            return {}
        content: dict[str, Any] = answer.json() if answer.status_code == httpx.codes.OK else {}
        return content

    def all_live(self) -> bool:
        """Say whether every service has caught up and the feed is up."""
        if not (self.state / "platform.json").exists():
            return False
        statuses = {service: self.status(service) for service in SERVICES}
        return all(status.get("live") for status in statuses.values()) and statuses["marketdata"].get("feed") == "UP"

    def fills(self) -> int:
        """Return how many fills execution knows."""
        return int(self.status("execution").get("fills", 0))

    def wait_until(self, reached: Callable[[], object], what: str, timeout_s: float = 30) -> None:
        """Wait until ``reached``; fails with the platform's output when it takes too long or the platform ends."""
        deadline = time.monotonic() + timeout_s
        while not reached():
            ended = self.process is not None and self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {timeout_s} s (ended: {ended})\n{self.tail()}")
            time.sleep(0.2)

    def log(self, service: str) -> list[dict[str, Any]]:
        """Return what a service has logged so far; a line that is only half there ends it."""
        text = (self.state / "logs" / f"{service}.jsonl").read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line.startswith("{")]

    def tail(self) -> str:
        """Return the ends of the platform's output and of each log."""
        logs = sorted((self.state / "logs").glob("*"))
        parts = [f"== {path.name}\n" + "\n".join(path.read_text().splitlines()[-15:]) for path in [self.output, *logs]]
        return "\n".join(parts)[-12_000:]

    def pid(self, name: str) -> int:
        """Return the pid of a process of the platform."""
        pid = self.pid_or_none(name)
        assert pid is not None, f"{name} does not run"
        return pid

    def pid_or_none(self, name: str) -> int | None:
        """Return the pid of a process, or none while it does not run."""
        pid: int | None = self.place()["processes"][name]["pid"]
        return pid

    def kill(self, name: str) -> None:
        """Kill a process of the platform without warning."""
        os.kill(self.pid(name), signal.SIGKILL)

    def run(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run another ``tollgate`` command."""
        command = [str(TOLLGATE), *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Make platforms that are stopped, whatever happens, when the test ends."""
    made: list[Platform] = []

    def make(
        environment: dict[str, str] | None = None,
        options: tuple[str, ...] = (),
        name: str = "desk",
        policy: dict[str, Any] | None = None,
    ) -> Platform:
        made.append(Platform(tmp_path / name, environment, options, policy))
        return made[-1]

    yield make
    for each in made:
        if each.process is not None and each.process.poll() is None:
            each.process.send_signal(signal.SIGTERM)
            try:
                each.process.wait(30)
            except subprocess.TimeoutExpired:
                each.process.kill()
                raise


def recorded_market(name: str) -> Path:
    """Return a recorded market of ../shared, or skip the test with the reason."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there; it lies in ../shared beside the checkout")
    return path


@dataclass(frozen=True)
class VenueView:
    """What the venue itself says of our account."""

    balances: dict[str, Decimal]
    fills: list[FillEvidence]


async def ask_venue(platform: Platform) -> VenueView:
    """Ask the exchange with execution's own key."""
    secrets = platform.state / "secrets" / "execution"
    key = VenueKey(
        (secrets / "venue_api_key").read_text().strip(), (secrets / "venue_api_secret").read_text().strip().encode()
    )
    venue = SimulatedVenue(platform.url("simvenue"), key)
    try:
        account = await venue.account()
        fills: list[FillEvidence] = []
        page = FillPage((), "", is_last=False)
        while not page.is_last:
            page = await venue.fills_since(page.cursor)
            fills += page.fills
    finally:
        await venue.close()
    balances = {balance.currency: balance.free + balance.locked for balance in account.balances}
    return VenueView({currency: amount for currency, amount in balances.items() if amount}, fills)


def drill(platform: Platform, method: str, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Call the simulated exchange's control door, ``/sim/v1/<what>``, signed like the account's own calls."""
    secrets = platform.state / "secrets" / "execution"
    target, content = f"/sim/v1/{what}", b"" if body is None else json.dumps(body).encode()
    timestamp = str(time.time_ns() // 1_000)
    key = (secrets / "venue_api_secret").read_text().strip().encode()
    signature = hmac.digest(key, f"{timestamp}\n{method}\n{target}\n".encode() + content, "sha256").hex()
    headers = {
        "x-api-key": (secrets / "venue_api_key").read_text().strip(),
        "x-timestamp-us": timestamp,
        "x-signature": signature,
    }
    url = f"{platform.url('simvenue')}{target}"
    answer = ASK.request(method, url, content=content, headers=headers, timeout=10)
    assert answer.status_code == httpx.codes.OK, answer.text
    said: dict[str, Any] = answer.json()
    return said


def settle(platform: Platform) -> None:
    """Stop trading by the kill switch and wait until no order is open and every service has read everything."""
    answer = platform.engage()
    assert answer.status_code == httpx.codes.OK

    def no_order_is_open() -> bool:
        execution = platform.status("execution")
        terminal = {"FILLED", "CANCELLED", "REJECTED", "EXPIRED"}
        return platform.all_live() and bool(execution) and not set(execution["orders"]) - terminal

    platform.wait_until(no_order_is_open, "no order open after the kill switch", 60)
    reached = platform.status("execution")["tip"]
    for service in SERVICES:
        platform.wait_until(
            lambda service=service: platform.status(service).get("position", 0) >= reached, f"{service} at {reached}"
        )
    platform.wait_until(lambda: platform.status("ledger").get("archived", 0) >= reached, f"archived up to {reached}")


def assert_everyone_agrees(platform: Platform) -> VenueView:
    """Compare cash and positions of venue, ledger, risk, execution and strategy, to the last digit."""
    view = asyncio.run(ask_venue(platform))
    cash = view.balances.pop("USDT", Decimal(0))
    venue_positions = {f"{currency}-USDT": amount for currency, amount in view.balances.items()}

    def of(service: str) -> dict[str, Decimal]:
        said = platform.books() if service == "ledger" else platform.status(service)
        positions = said.get("positions", {"no answer": "1"})
        if isinstance(positions, list):
            return {line["symbol"]: Decimal(line["quantity"]) for line in positions if Decimal(line["quantity"])}
        return {symbol: Decimal(quantity) for symbol, quantity in positions.items() if Decimal(quantity)}

    platform.wait_until(
        lambda: of("ledger") == venue_positions, f"ledger {of('ledger')} == venue {venue_positions}", 15
    )
    assert Decimal(platform.books()["cash"]["USDT"]) == cash
    ledger = platform.status("ledger")
    assert ledger["drifting"] == []
    assert ledger["alarms"] == {}
    for service in ("strategy", "risk", "execution"):
        platform.wait_until(
            lambda service=service: of(service) == venue_positions, f"{service} == venue {venue_positions}", 15
        )
    # A trade that the venue has taken back has a second row in its list.
    assert platform.status("execution")["fills"] == sum(fill.trade is not None for fill in view.fills)
    return view
