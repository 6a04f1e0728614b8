"""The gate as the process it is, on a real broker: signs, permits, stops, dies and comes back."""

import asyncio
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
from nacl.signing import VerifyKey
from risk_operators import BEARERS, write_tokens

from tollgate_chassis.exits import Exit
from tollgate_chassis.tape import NatsTape
from tollgate_chassis.tape.writer import Writer
from tollgate_contracts.approval import APPROVAL_DOMAIN, PERMIT_DOMAIN, Permit, SignedText
from tollgate_contracts.codec import decode
from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Decision, KillSwitch, Mode, Policy
from tollgate_contracts.safety import BreakerState
from tollgate_risk.signing import Signer

POLICY = Path(__file__).parents[3] / "config" / "policy.yaml"
SEED = hashlib.sha256(b"a seed for tests").digest()
STREAM = {
    "name": "TAPE_main",
    "subjects": ["tape.main.>"],
    "retention": "limits",
    "storage": "file",
    "discard": "new",
    "max_bytes": 64 * 1_024 * 1_024,
    "duplicate_window": 600_000_000_000,
    "deny_delete": True,
    "deny_purge": True,
    "allow_direct": True,
    "republish": {"src": "tape.main.>", "dest": "live.main.>"},
}
DEADLINE_S = 20.0


@dataclass
class Place:
    """Where one risk process keeps its things; the same for each start of it."""

    directory: Path
    port: int
    nats_url: str

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "TOLLGATE_NATS_URL": self.nats_url,
            "TOLLGATE_STATE_DIR": str(self.directory / "state"),
            "TOLLGATE_SECRETS_DIR": str(self.directory / "secrets"),
            "TOLLGATE_PORTS__RISK": str(self.port),
            "TOLLGATE_RISK__POLICY_FILE": str(POLICY),
        }

    def spawn(self, **environment: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "tollgate_risk"],
            env={**self.environment(), **environment},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )

    def run_to_its_end(self, **environment: str) -> tuple[int, str]:
        process = self.spawn(**environment)
        _, said = process.communicate(timeout=DEADLINE_S)
        return process.returncode, said.decode()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "approval_signing_key").write_text(SEED.hex())
    write_tokens(secrets)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Place(tmp_path, port, "nats://127.0.0.1:1")


class Rest:
    """The rest of the platform, played by the test: writes the tape, keeps the clock, listens to permits."""

    def __init__(self, tape: NatsTape, desk: Any) -> None:
        self.tape = tape
        self.desk = desk
        self.permits: list[tuple[float, SignedText]] = []
        self._writers: dict[str, Writer] = {}
        self._said = 0
        self._turn = asyncio.Lock()

    async def say(self, *acts: Callable[[Any], Any]) -> None:
        """Append what the acts make the desk of the other tests write, each under its own writer."""
        async with self._turn:
            for action in acts:
                self.desk.now_us = time.time_ns() // 1_000
                action(self.desk)
            for message in self.desk.taped[self._said :]:
                writer = self._writers.get(message.writer)
                if writer is None:
                    writer = self._writers[message.writer] = Writer(self.tape, "main", message.writer)
                    await writer.open()
                await writer.append(message)
            self._said = len(self.desk.taped)

    async def keep_time(self) -> None:
        while True:
            await self.say(lambda desk: desk.next_cycle())
            await asyncio.sleep(0.05)

    async def hear(self, message: Any) -> None:
        self.permits.append((time.monotonic(), SignedText.model_validate_json(message.data)))

    async def messages(self, kind: type) -> list[Any]:
        found: list[Any] = []
        start = 1
        while records := await self.tape.read(start, 256):
            found += [message for record in records if isinstance(message := decode(record.data), kind)]
            start = records[-1].sequence + 1
        return found

    async def decision_on(self, intent: Any) -> Decision:
        return await until(lambda: self._decision(intent))

    async def _decision(self, intent: Any) -> Decision | None:
        return next((d for d in await self.messages(Decision) if d.intent_id == intent.id), None)


async def until(look: Callable[[], Any]) -> Any:
    """Look until there is something to see."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        seen = await look()
        if seen:
            return seen
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come in time")


@pytest.fixture
async def rest(nats_url: str, place: Place, desk: Any) -> AsyncIterator[Rest]:
    place.nats_url = nats_url
    client = await nats.connect(nats_url)
    answer = await client.request("$JS.API.STREAM.CREATE.TAPE_main", json.dumps(STREAM).encode())
    assert "error" not in json.loads(answer.data), answer.data
    tape = await NatsTape.connect(nats_url, None, "main", "rest")
    rest = Rest(tape, desk)
    await client.subscribe("permit.main", cb=rest.hear)
    await rest.say(
        lambda desk: desk.account(USDT="100000"),
        lambda desk: desk.feed(FeedState.UP),
        lambda desk: desk.instrument(),
    )
    clock = asyncio.create_task(rest.keep_time())
    yield rest
    clock.cancel()
    await tape.close()
    await client.close()


@asynccontextmanager
async def risk(place: Place) -> AsyncIterator[tuple["subprocess.Popen[bytes]", httpx.AsyncClient]]:
    process = place.spawn()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{place.port}", timeout=5) as client:

            async def answers() -> bool:
                assert process.poll() is None, process.stderr and process.stderr.read().decode()
                try:
                    return (await client.get("/v1/status")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(answers)
            yield process, client
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


async def ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def released_by(client: httpx.AsyncClient) -> httpx.Response | None:
    """Release the switch, or return none while venue and gate do not agree yet."""
    answer = await client.request("DELETE", "/v1/kill-switch", headers=BEARERS["release"], json={"reason": "all clear"})
    return None if answer.status_code == httpx.codes.CONFLICT else answer


def buy(rest: Rest) -> Any:
    intent = rest.desk.intent("BUY", "1", "100")
    rest.desk.taped.append(intent)
    return intent


async def ask(rest: Rest) -> Decision:
    await rest.say(lambda desk: desk.quote("BTC-USDT"))
    rest.desk.now_us = time.time_ns() // 1_000
    intent = buy(rest)
    await rest.say()
    return await rest.decision_on(intent)


async def test_the_gate_signs_permits_stops_dies_and_comes_back(rest, place):
    """One life of the gate: policy, approval, kill switch, kill -9, and the operator's release."""
    public = VerifyKey(bytes.fromhex(Signer(SEED).public_key))
    async with risk(place) as (process, client):
        await until(lambda: ready(client))
        (policy,) = await rest.messages(Policy)
        assert [mode.to_mode for mode in await rest.messages(Mode)] == ["NORMAL"]
        decision = await ask(rest)
        signed = decision.approval
        public.verify(APPROVAL_DOMAIN + signed.text.encode(), bytes.fromhex(signed.signature))
        assert decision.config_hash == policy.hash
        await until(lambda: asyncio.sleep(0, rest.permits))
        permit = rest.permits[-1][1]
        public.verify(PERMIT_DOMAIN + permit.text.encode(), bytes.fromhex(permit.signature))
        assert Permit.model_validate_json(permit.text).kill_epoch == 0

        answer = (await client.put("/v1/kill-switch", headers=BEARERS["kill"])).json()
        stopped = time.monotonic()
        assert (answer["engaged"], answer["on_tape"]) == (True, True)
        refused = await ask(rest)
        assert refused.findings[0].code is Reason.GATE_KILL_SWITCH
        await asyncio.sleep(0.6)
        assert [at for at, _ in rest.permits if at > stopped + 0.1] == []
        status = (await client.get("/v1/status")).json()
        assert (status["decisions"]["APPROVED"], status["decisions"]["REJECTED"]) == (1, 1)
        assert status["decisions"]["by_reason"]["gate.kill_switch"] == 1
        assert status["kill_switch"] == {"engaged": True, "epoch": 1, "on_tape": True}
        process.send_signal(signal.SIGKILL)
        process.wait()

    async with risk(place) as (_, client):
        await until(lambda: ready(client))
        assert (await client.get("/v1/kill-switch", headers=BEARERS["read"])).json()["engaged"] is True
        assert len(await rest.messages(Policy)) == 1, "the policy in force is not said again"
        assert len(await rest.messages(Decision)) == 2, "nothing is decided twice"
        rest.permits.clear()
        # The venue and the gate agree again: nothing of the approval became of it, and the balances are the same.
        await rest.say(lambda desk: desk.refuse(decision), lambda desk: desk.account(USDT="100000"))
        released = await until(lambda: released_by(client))
        assert (released.status_code, released.json()["engaged"]) == (200, False)
        await until(lambda: asyncio.sleep(0, rest.permits))
        assert Permit.model_validate_json(rest.permits[-1][1].text).kill_epoch == 1
        assert [switch.engaged for switch in await rest.messages(KillSwitch)] == [True, False]
        again = await ask(rest)
        assert again.approval is not None
        assert json.loads(again.approval.text)["kill_epoch"] == 1


async def test_what_a_condition_does_to_the_mode_is_on_the_tape_and_in_the_metrics(rest, place):
    """Under the shipped policy: a breaker that opens asks for REDUCE_ONLY."""
    async with risk(place) as (_, client):
        await until(lambda: ready(client))
        await rest.say(lambda desk: desk.breaker(BreakerState.OPEN))

        async def lines() -> list[str]:
            return (await client.get("/metrics")).text.splitlines()

        async def is_shown() -> bool:
            # The change is counted a moment after the mode is shown.
            changed = 'tollgate_risk_mode_changes_total{from_mode="NORMAL",to_mode="REDUCE_ONLY"} 1.0'
            return {'tollgate_risk_mode{mode="REDUCE_ONLY"} 1.0', changed} <= {*await lines()}

        await until(is_shown)
        shown = await lines()
        assert 'tollgate_risk_condition_active{condition="breaker_open"} 1.0' in shown
        assert 'tollgate_risk_mode_changes_total{from_mode="NORMAL",to_mode="REDUCE_ONLY"} 1.0' in shown
        mode = (await rest.messages(Mode))[-1]
        assert (mode.to_mode, mode.why) == ("REDUCE_ONLY", "breaker_open is at 1 groups, limit 1")


async def test_the_switch_works_while_there_is_no_broker_and_holds_when_there_is(rest, place):
    """``curl -X PUT`` on a gate that has no tape: stopped, and so it stays."""
    url, place.nats_url = place.nats_url, "nats://127.0.0.1:1"
    async with risk(place) as (_, client):
        answer = (await client.put("/v1/kill-switch", headers=BEARERS["kill"])).json()
        assert (answer["engaged"], answer["on_tape"]) == (True, False)
    place.nats_url = url
    async with risk(place) as (_, client):
        await until(lambda: rest.messages(KillSwitch))
        assert (await ask(rest)).findings[0].code is Reason.GATE_KILL_SWITCH
        assert rest.permits == []


@pytest.mark.parametrize(
    ("secret", "content", "said"),
    [
        pytest.param("approval_signing_key", "00" * 32, "only 1 different bytes", id="a placeholder for a key"),
        pytest.param("approval_signing_key", None, "cannot be read", id="no key"),
        pytest.param("operator_tokens.json", '{"version":1,"tokens":[]}', "tokens: got none", id="no token"),
        pytest.param("operator_tokens.json", '{"tokens":[{"id":1}]}', "tokens.0.sha256: Field required", id="no hash"),
        pytest.param("operator_tokens.json", None, "operator_tokens.json cannot be read", id="no list"),
    ],
)
def test_a_bad_secret_ends_the_process_before_it_starts(place, secret, content, said):
    """Exit 78: starting again changes nothing."""
    path = place.directory / "secrets" / secret
    path.unlink()
    if content:
        path.write_text(content)
    code, output = place.run_to_its_end()
    assert code == Exit.BAD_CONFIGURATION
    assert said in output


def test_a_bad_policy_ends_the_process_with_every_error(place):
    """Exit 78, and the operator reads what is wrong with which key."""
    policy = place.directory / "policy.yaml"
    policy.write_text(POLICY.read_text().replace("order_notional:", "order_notionl:").replace("NORMAL\n", "CALM\n"))
    code, output = place.run_to_its_end(TOLLGATE_RISK__POLICY_FILE=str(policy))
    assert code == Exit.BAD_CONFIGURATION
    assert "limits.order_notionl: no such key" in output
    assert "mode: Input should be" in output
