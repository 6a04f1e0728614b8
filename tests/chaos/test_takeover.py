"""Two instances of each service under traffic: one is active, and when it falls or is stopped the other goes on."""

import asyncio
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.chaos.test_kill import assert_every_order_ended_once, fills_on_tape, unbalanced_entries
from tests.conftest import ASK, BUSY, SERVICES, Platform, assert_everyone_agrees, free_base_port, settle
from tollgate_contracts.codec import decode
from tollgate_contracts.risk import Decision
from tollgate_contracts.strategy import Intent
from tollgate_contracts.tenure import Tenure
from tollgate_research.recording import Run, load
from tollgate_research.replay import Replay

pytestmark = pytest.mark.platform
# From the loss of the active gate to the next decision on the tape. A machine that does nothing else takes 0.8 s when
# the gate was stopped and a quarter of it when it was killed; this is for one that runs twenty other things.
NEXT_DECISION_S_MAX = 30
# Import and recovery on a busy machine.
START_S = 60
# One that is killed comes back within a second or two: whoever is to win against it must not still be reading the tape.
LAG_MAX = 100


class Second:
    """A second instance of a service of the platform, beside the supervisor's."""

    def __init__(self, desk: Platform, service: str, directory: Path) -> None:
        model = psutil.Process(desk.pid(service))
        self.port = free_base_port()
        self.log = directory / f"second-{service}.log"
        environment = {
            **model.environ(),
            "TOLLGATE_STATE_DIR": str(directory / f"second-{service}"),
            f"TOLLGATE_PORTS__{service.upper()}": str(self.port),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                model.cmdline(), cwd=model.cwd(), env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def status(self) -> dict[str, Any]:
        """Return its own status; empty while it does not answer."""
        assert self.process.poll() is None, self.log.read_text()[-4_000:]
        try:
            content: dict[str, Any] = ASK.get(f"http://127.0.0.1:{self.port}/v1/status", timeout=2).json()
        except httpx.HTTPError:
            return {}
        return content


@contextmanager
def second_instance(desk: Platform, service: str, directory: Path) -> Iterator[Second]:
    """Start a second instance, wait until it stands by for the platform's own, and kill it in the end."""
    active = desk.status(service)["instance"]
    second = Second(desk, service, directory)
    try:
        desk.wait_until(lambda: stands_by(second, active), f"a second {service} stands by", START_S)
        yield second
    finally:
        second.process.kill()
        second.process.wait()


def stands_by(second: Second, active: str) -> bool:
    """Say whether it stands by for ``active`` and has read the tape nearly to its end."""
    status = second.status()
    return bool(status) and status["standby"] == active and status["lag"] <= LAG_MAX


def test_two_of_each_service_and_the_active_one_is_killed(platform: Callable[..., Platform], tmp_path: Path):
    """Whoever stood by goes on at once; the killed one comes back, stands by, and takes over in its turn."""
    desk = platform(BUSY)
    desk.start()
    desk.wait_until(lambda: desk.fills() >= 5, "traffic", 60)
    for service in SERVICES:
        kill_and_kill_again(desk, service, tmp_path)
    settle(desk)
    run = stop_and_load(desk, tmp_path)

    assert Counter(tenure.writer for _, tenure in told(run, Tenure)) == dict.fromkeys(SERVICES, 3)
    assert_one_decision_for_each_intent(run)


def kill_and_kill_again(desk: Platform, service: str, directory: Path) -> None:
    """Kill the platform's own instance, and when it has come back to stand by, the second one."""
    with second_instance(desk, service, directory) as second:
        began = time.monotonic()
        desk.kill(service)
        desk.wait_until(lambda: second.status().get("live"), f"the second {service} took over", START_S)
        print(f"{service}: seen live {time.monotonic() - began:.2f} s after kill -9 of the active one")
        instance = second.status()["instance"]
        desk.wait_until(
            lambda: desk.status(service).get("standby") == instance, f"the first {service} stands by", START_S
        )
        fills = fills_known(desk, service, second)
        desk.wait_until(
            lambda: fills_known(desk, service, second) > fills, f"fills under the second {service}", START_S
        )
    desk.wait_until(desk.all_live, f"the first {service} took over again", START_S)


def fills_known(desk: Platform, service: str, second: Second) -> int:
    """Return how many fills the active execution knows."""
    return int(second.status().get("fills", 0)) if service == "execution" else desk.fills()


def test_a_gate_that_is_stopped_is_replaced_and_stands_down_when_it_wakes(
    platform: Callable[..., Platform], tmp_path: Path
):
    """SIGSTOP in mid-run: the next decision comes in time, no intent is decided twice, and the sleeper exits."""
    desk = platform(BUSY)
    desk.start()
    desk.wait_until(lambda: desk.fills() >= 5, "traffic", 60)
    with second_instance(desk, "risk", tmp_path) as second:
        sleeper = desk.pid("risk")
        stopped_us = time.time_ns() // 1_000
        os.kill(sleeper, signal.SIGSTOP)
        desk.wait_until(lambda: second.status().get("live"), "the second gate took over", START_S)
        fills = desk.fills()
        desk.wait_until(lambda: desk.fills() > fills, "fills under the second gate", START_S)
        os.kill(sleeper, signal.SIGCONT)
        desk.wait_until(lambda: desk.pid_or_none("risk") not in {None, sleeper}, "the sleeper has ended", START_S)
        instance = second.status()["instance"]
        desk.wait_until(lambda: desk.status("risk").get("standby") == instance, "the first gate stands by", START_S)
        assert second.status()["live"]
        assert "doubts its connections" in (desk.state / "logs" / "supervisor.jsonl").read_text()
        second.process.kill()
        killed_us = time.time_ns() // 1_000
        desk.wait_until(desk.all_live, "the first gate took over again", START_S)
        fills = desk.fills()
        desk.wait_until(lambda: desk.fills() > fills, "fills under the first gate", START_S)
    settle(desk)
    run = stop_and_load(desk, tmp_path)

    assert_one_decision_for_each_intent(run)
    waits_s = {name: next_decision_s(run, us) for name, us in (("stopped", stopped_us), ("killed", killed_us))}
    print({name: {what: round(seconds, 3) for what, seconds in each.items()} for name, each in waits_s.items()})
    assert max(each["decision"] for each in waits_s.values()) < NEXT_DECISION_S_MAX


def test_the_kill_switch_at_the_gate_that_stands_by_stops_the_desk(platform: Callable[..., Platform], tmp_path: Path):
    """It takes over with the switch engaged; the one that was active ends, comes back, and follows it."""
    desk = platform(BUSY)
    desk.start()
    desk.wait_until(lambda: desk.fills() >= 5, "traffic", 60)
    with second_instance(desk, "risk", tmp_path) as second:
        url, header = f"http://127.0.0.1:{second.port}/v1/kill-switch", desk.operator("kill")
        # 503 while it is still taking over: an operator calls again.
        desk.wait_until(lambda: ASK.put(url, headers=header, timeout=10).is_success, "the switch is taken", START_S)
        desk.wait_until(lambda: second.status().get("live"), "the second gate took over", START_S)
        desk.wait_until(lambda: second.status()["kill_switch"]["on_tape"], "the switch is on the tape", START_S)
        instance = second.status()["instance"]
        desk.wait_until(lambda: desk.status("risk").get("standby") == instance, "the first gate stands by", START_S)
        desk.wait_until(lambda: not open_orders(desk), "no order is open", START_S)
        fills = desk.fills()
        second.process.kill()
        desk.wait_until(desk.all_live, "the first gate took over again", START_S)
        desk.wait_until(
            lambda: desk.status("risk").get("kill_switch", {}).get("engaged"), "the switch engaged again", START_S
        )
        assert desk.fills() == fills
    assert desk.stop() == 0


def open_orders(desk: Platform) -> set[str]:
    """Return the states of the orders that are not over, and one that is none while execution does not answer."""
    return set(desk.status("execution").get("orders", {"?"})) - {"FILLED", "CANCELLED", "REJECTED", "EXPIRED"}


def stop_and_load(desk: Platform, directory: Path) -> Run:
    """Show that everybody agrees, end the platform, and return the run, which replays equal."""
    view = assert_everyone_agrees(desk)
    run_file = directory / "run.jsonl.gz"
    assert desk.run("record", str(run_file), "--state-dir", str(desk.state)).returncode == 0
    assert asyncio.run(unbalanced_entries(desk)) == []
    assert desk.stop() == 0
    run = load(run_file)
    assert_every_order_ended_once(run, {fill.client_order_id for fill in view.fills})
    assert sorted(fill.trade.trade_id for fill in fills_on_tape(run)) == sorted(f.trade.trade_id for f in view.fills)
    assert Replay(run.desk).run(run).differences == []
    return run


def told(run: Run, kind: type) -> list[tuple[int, Any]]:
    """Return each message of a kind with the broker's time of storing."""
    messages = ((record.stored_us, decode(record.data)) for record in run.records)
    return [(stored_us, message) for stored_us, message in messages if isinstance(message, kind)]


def assert_one_decision_for_each_intent(run: Run) -> None:
    decisions = [decision for _, decision in told(run, Decision)]
    decided = Counter(decision.intent_id for decision in decisions)
    # The recording may end between the last intents and what the gate says of them.
    answered_up_to = max(decision.cause or 0 for decision in decisions)
    messages = [decode(record.data) for record in run.records[:answered_up_to]]
    intents = [message.id for message in messages if isinstance(message, Intent)]
    assert len(intents) > 10
    assert {intent: decided[intent] for intent in intents if decided[intent] != 1} == {}


def next_decision_s(run: Run, lost_us: int) -> dict[str, float]:
    """Return the seconds from the loss of the active gate to the next tenure and to the next decision under it."""
    tenure_us = next(at_us for at_us, tenure in told(run, Tenure) if tenure.writer == "risk" and at_us > lost_us)
    decision_us = next(at_us for at_us, _ in told(run, Decision) if at_us > tenure_us)
    return {"tenure": (tenure_us - lost_us) / 1e6, "decision": (decision_us - lost_us) / 1e6}
